"""How the time of a step and the memory of sampling grow: python -m benchmarks.scaling

One axis at a time from one point: the side of a picture, the batch, the channels, the threads. An exponent is the slope of
log time over log size between the two largest; above the last but one, overheads are gone. Peak memory is that of
`reverie sample fashion_mnist -n N`, the whole process. Writes docs/scaling.json; some eight minutes.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from reverie.core.denoisers import Cast, Preconditioned
from reverie.core.losses import DenoisingLoss
from reverie.core.noise import Seeded
from reverie.core.schedules import Cosine
from reverie.nn.unet import UNet
from reverie.training.loop import Objective, train
from reverie.training.memory import keep_freed
from reverie.training.optimizers import adamw

OUT = Path(__file__).parent.parent / "docs" / "scaling.json"
BASE = {"side": 32, "batch": 32, "channels": 32, "threads": 2}
AXES: dict[str, tuple[int, ...]] = {
    "side": (16, 32, 64, 128),
    "batch": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "channels": (16, 32, 64, 128),
    "threads": (1, 2),
}
COUNTS = (500, 2_000, 10_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    keep_freed()
    times: dict[str, dict[int, list[float]]] = {axis: {size: [] for size in sizes} for axis, sizes in AXES.items()}
    for i in range(given.rounds):
        for axis, sizes in AXES.items():
            for size in sizes:
                times[axis][size].append(seconds_of({**BASE, axis: size}, given.seconds))
            print(
                f"{i + 1} {axis}: " + ", ".join(f"{n}: {found[-1]:.4f}" for n, found in times[axis].items()), flush=True
            )
    found: dict[str, Any] = {"base": BASE, "seconds": times, "peak_mib": {count: peak(count) for count in COUNTS}}
    print(f"memory: {found['peak_mib']}")
    given.out.write_text(json.dumps(found, indent=1) + "\n")


def exponent(times: dict[int, list[float]]) -> float:
    """The slope between the two largest sizes, of medians."""
    (a, s), (b, t) = sorted((int(size), median(found)) for size, found in times.items())[-2:]
    return math.log(t / s) / math.log(b / a)


def seconds_of(at: dict[str, int], least: float) -> float:
    """Seconds a step of training."""
    torch.set_num_threads(at["threads"])
    width, batch = at["channels"], at["batch"]
    network = UNet(2, 3, levels=(width, 2 * width), blocks=1, groups=8, attention=(False, False))
    loss = DenoisingLoss(Cast(Preconditioned(network, Cosine()), torch.bfloat16))
    x = torch.randn(batch, 3, at["side"], at["side"], generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    fed = ({"x": x, "noise": Seeded.at(0, range(i, i + batch))} for i in range(0, 10**9, batch))
    steps = train([Objective(loss, adamw(loss, 1e-4, 0.0, torch.bfloat16))], fed)
    return timed(lambda: next(steps), least)


def timed(work: Callable[[], object], least: float) -> float:
    work()
    work()
    started, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - started) < least or not done:
        work()
        done += 1
    return passed / done


COMMAND = """
import sys
from reverie.cli import main
from reverie.training.estimate import told
try:
    main(sys.argv[1:])
finally:
    print(told("/proc/self/status", "VmHWM"))
"""
"""The command, and then what it had in memory at most: its own, since a process inherits the figure that `wait` gives."""


def peak(count: int) -> float:
    """MiB that a process had at most."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["sample", "fashion_mnist", "-n", str(count), "--sample-steps", "1", "--sampler", "ddim", "--scale", "1",
                     "--out", f"{folder}/made"]  # fmt: skip
        done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sampling {count} failed: {done.stderr}")
    return int(done.stdout.split()[-1]) / 2**20


if __name__ == "__main__":
    main()
