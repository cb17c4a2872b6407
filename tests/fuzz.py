"""Every format that is read, given files that are nearly right: each is read, or refused with a ReverieError.

    python tests/fuzz.py [FORMAT ...] [--seconds 60] [--seed 0]

Files are healthy ones with bits flipped, bytes cut out, put in or doubled, numbers made extreme; and, a level deeper, with
their JSON, their members or their chunks changed and the lengths, hashes and checksums around them put right again. Any
other exception, more than `SECONDS` of processor or `MEMORY` more memory is a bug: the file is kept, and named. Those that
once failed lie in hostile/kept/FORMAT, and are tried first.
"""

import argparse
import contextlib
import hashlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

from hostile.formats import FORMATS, Format

SECONDS, MEMORY = 2.0, 256 * 2**20
LEAST = 10
"""Files that are tried however slow the machine is."""
KEPT = Path(__file__).parent / "hostile" / "kept"


class Slow(BaseException):
    """Raised in whatever takes too long."""


def late(number: int, frame: object) -> None:
    raise Slow


def most() -> int:
    """The most bytes that the process has held since the last call, where the system can forget, or ever."""
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                found = int(line.split()[1]) * 1024
        Path("/proc/self/clear_refs").write_text("5")
    return found


def outcome(form: Format, data: bytes, folder: Path) -> str:
    """`read`, `refused`, or what is wrong."""
    from reverie.errors import ReverieError

    most()
    before = most()
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        form.read(data, folder)
        ended = "read"
    except ReverieError as error:
        ended = (
            "refused" if str(error).strip() and len(str(error)) < 5000 else f"an error of {len(str(error))} characters"
        )
    except Slow:
        ended = f"more than {SECONDS:g} seconds"
    except Exception as error:
        ended = f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    rise = most() - before
    return ended if rise < MEMORY else f"{rise / 2**20:.0f} MiB more memory, {ended}"


def fuzz(name: str, seconds: float = 0, seed: int = 0, least: int = LEAST) -> tuple[Counter[str], dict[str, bytes]]:
    """How files of a format ended, and one file for each way that is wrong. File i is a function of the seed and i.

    As many as the seconds allow, and those kept and `least` in any case.
    """
    form, ends, wrong, i = FORMATS[name], Counter[str](), dict[str, bytes](), 0
    before = signal.signal(signal.SIGVTALRM, late)
    root = Path(tempfile.mkdtemp(prefix="reverie-fuzz-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            seeds = form.seeds(root)
            kept = [path.read_bytes() for path in sorted((KEPT / name).glob("*"))]
            for healthy in seeds:
                assert (ended := outcome(form, healthy, root / "here")) == "read", f"a healthy {name}: {ended}"
            until = time.monotonic() + seconds
            while time.monotonic() < until or i < len(kept) + least:
                rng = Random(f"{name} {seed} {i}")
                data = kept[i] if i < len(kept) else form.changed(rng.choice(seeds), rng)
                ended = outcome(form, data, root / "here")
                ends[ended if ended in ("read", "refused") else "wrong"] += 1
                if ended not in ("read", "refused"):
                    wrong.setdefault(ended, data)
                i += 1
    finally:
        signal.signal(signal.SIGVTALRM, before)
        shutil.rmtree(root, ignore_errors=True)
    return ends, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each format")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    limit = 2**34
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    failed = 0
    for name in chosen.formats or FORMATS:
        ends, wrong = fuzz(name, chosen.seconds, chosen.seed)
        print(f"{name:<14} {ends.total():>7,} files: {ends['read']:,} read, {ends['refused']:,} refused, "
              f"{ends['wrong']:,} wrong", flush=True)  # fmt: skip
        for ended, data in wrong.items():
            path = Path(tempfile.gettempdir()) / f"reverie-{name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            print(f"  {ended}\n    kept in {path}; once mended, move it to {os.path.relpath(KEPT / name)}")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
