"""A process that is given hostile files, one after another, and says of each what came of it, in a line of JSON.

    python tests/hostile/trying.py FOLDER [FORMAT]

What is compared: how the command ended, what it said, the seconds of processor it took, by how much its memory rose above
what it was before, and everything it did that reading has no business to do, as the interpreter itself reports it.
"""

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(sys.argv[1]).resolve()
os.environ |= {"CANARY": str(FOLDER / "canary"), "HEALTHY": str(FOLDER / "healthy"), "SAMPLES": str(FOLDER / "made"),
               "REVERIE_CACHE": str(FOLDER / "cache"), "COLUMNS": "300"}  # fmt: skip
sys.path.insert(0, str(Path(__file__).parent.parent))
FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect",
             "ctypes.dlopen"}  # fmt: skip
ROOM = 4 * 2**30
"""Bytes of address space beyond what the process has: what asks for more fails at once, and the machine lives on."""
events: list[str] = []
watching = False


def watch(event: str, arguments: tuple) -> None:
    if not watching:
        return
    if event in FORBIDDEN:
        events.append(f"{event} {arguments!r:.100}")
    if event == "open" and isinstance(arguments[0], str):
        path = os.path.abspath(arguments[0])
        inside = path.startswith((str(FOLDER), os.path.join(tempfile.gettempdir(), "reverie-"), os.devnull))
        if not inside and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append(f"wrote {path}")
        elif path.startswith(("/etc/passwd", "/dev/zero")):
            events.append(f"read {path}")


def call(arguments: list[str]) -> tuple[int, str]:
    """(status, what was said on the error stream) of a command line."""
    from reverie.cli import main

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            main(arguments)
        except SystemExit as stop:
            return int(stop.code or 0), said.getvalue()
    return 0, said.getvalue()


def read(name: str, path: Path) -> tuple[int, str]:
    """The same for a reader that commands reach only behind a hash."""
    from reverie.data.unpack import unpack
    from reverie.errors import ReverieError
    from reverie.training import checkpoints

    try:
        if name == "@unpack":
            unpack(path, {"wanted": "out"}, path.parent / "stage" / "out")
        else:
            checkpoints.load(checkpoints.saved(path / "checkpoints")[-1])
    except ReverieError as error:
        return 1, f"error: {error}\n"
    except Exception as error:
        return 2, f"error: {type(error).__name__}: {error} -- this is a defect"
    return 0, ""


def memory(which: str) -> int:
    """Bytes in memory now (VmRSS), or the most since `reset` (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def reset() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Slow(BaseException):
    pass


def late(number: int, frame: object) -> None:
    raise Slow


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def attempt(case, here: Path) -> dict:
    global watching
    here.mkdir()
    os.chdir(here)
    case.make(here)
    dear = contents(here / "victim") if (here / "victim").is_dir() else {}
    events.clear()
    reset()
    before, started, cpu = memory("VmRSS"), time.monotonic(), seconds()
    signal.alarm(30)
    watching = True
    try:
        arguments = list(case.do)
        status, said = read(arguments[0], here / arguments[1]) if arguments[0][0] == "@" else call(arguments)
    except Slow:
        status, said = -1, "it took half a minute"
    finally:
        watching = False
        signal.alarm(0)
    escaped = [str(p) for p in here.rglob("*evil*")] if arguments[0] == "@unpack" else []
    found = {"format": case.format, "name": case.name, "status": status, "said": said, "cpu": seconds() - cpu,
             "seconds": time.monotonic() - started, "rise": memory("VmHWM") - before, "events": list(events),
             "left": escaped + [p.name for p in here.parent.iterdir() if p != here and p.name not in KNOWN],
             "harmed": dear != (contents(here / "victim") if dear else {}), "made": (here / "out").exists()}  # fmt: skip
    os.chdir(FOLDER)
    shutil.rmtree(here)
    return found


def prepare() -> None:
    """A healthy run with labels, a checkpoint and snapshots, samples of it, and every reader imported once."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    np.savez(FOLDER / "waves.npz", x=rng.normal(size=(64, 1, 8)).astype("float32"), y=np.arange(64) % 2)
    (FOLDER / "pictures").mkdir()
    Image.new("L", (16, 16), 3).save(FOLDER / "pictures" / "a.png")
    for arguments in (
        ["train", str(FOLDER / "waves.npz"), "--out", "healthy", "--samples", "64", "--batch", "32", "--dtype", "float32",
         "--network", "unet(levels=(8, 8), blocks=1)"],
        ["sample", "healthy", "-n", "2", "--out", "made"],
        ["replay", "made/samples.json", "--model", "healthy"],
        ["info", "healthy"],
        ["compare", "healthy", "healthy"],
        ["data", "check", "pictures"],
        ["data", "check", "waves.npz"],
    ):  # fmt: skip
        status, said = call(arguments)
        assert status == 0, (arguments, said)
    for arguments in (["evaluate", "healthy", "-n", "2", "--data", "nowhere"], ["data", "get", "fashion_mnist", "--from", "x"],
                      ["doctor", "nowhere"]):  # fmt: skip
        assert call(arguments)[0] == 1, arguments


KNOWN = {"canary", "healthy", "made", "cache", "waves.npz", "pictures"}

if __name__ == "__main__":
    os.chdir(FOLDER)
    (FOLDER / "canary").write_text("alive")
    prepare()
    from hostile.cases import CASES

    sys.addaudithook(watch)
    signal.signal(signal.SIGALRM, late)
    limit = memory("VmSize") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number, case in enumerate(CASES):
        if len(sys.argv) < 3 or case.format in sys.argv[2:]:
            print(json.dumps(attempt(case, FOLDER / f"case{number}")), flush=True)
