"""How fast a folder of small pictures is read: python benchmarks/scan_folder.py [N]

Makes N PNGs of 32 x 32 in a temporary folder, and prints files a second of listing, of `reverie data check` as a process
of its own, and of reading the folder once more, with what that takes in memory beside the result.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=20_000)
    parser.add_argument("--side", type=int, default=32, help="pixels of a side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        make(folder, options.n, options.side)
        report(options.n, folder)


def make(folder: Path, n: int, side: int) -> None:
    """n pictures in ten subfolders; smooth ones, so that they are as large as small pictures are."""
    for kind in range(10):
        (folder / f"{kind}").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(n):
        coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize((side, side)).save(folder / f"{i % 10}" / f"{i:07d}.png")


def processor_seconds() -> float:
    """Of this process and of those that it started: what other work on the machine does not change."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def report(n: int, folder: Path) -> None:
    from reverie.data.listing import listing
    from reverie.modalities import load

    def timed(what: str, action) -> None:
        started, busy = time.perf_counter(), processor_seconds()
        action()
        passed, busy = time.perf_counter() - started, processor_seconds() - busy
        print(f"{what:<36}{passed:8.2f} s {n / passed:10,.0f} files/s {busy:8.2f} s of processor time", flush=True)

    check = [sys.executable, "-m", "reverie", "data", "check", str(folder)]
    timed("listing", lambda: listing(folder))
    timed("reverie data check, start included", lambda: subprocess.run(check, check=True, stdout=subprocess.DEVNULL))
    timed("a second load", lambda: load(folder))
    tracemalloc.start()
    size = load(folder).raw.nbytes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"peak memory of a load: {peak / size:.2f} times the {size / 2**20:.0f} MiB kept")


if __name__ == "__main__":
    main()
