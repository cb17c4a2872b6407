"""The estimate of what training takes, beside what a process took: python -m benchmarks.memory

Each network is trained for three updates of 64 pictures of 64 x 64 x 3 in a process of its own, without a cache of freed memory.
Prints the rows of docs/performance.md; some minutes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from reverie.data import Dataset
from reverie.recipes.digits import Digits
from reverie.recipes.trial import LENGTHS, fresh_training
from reverie.training.estimate import estimated, told

from .pipeline import Loop

BATCH = 64
UNET, DIT = "unet(levels=(32, 64, 96), blocks=1)", "dit(width=256, depth=6, patch=4)"
CASES = {
    "U-Net, float32": (UNET, "float32", False),
    "U-Net, bfloat16": (UNET, "bfloat16", False),
    "U-Net, bfloat16, `--checkpointing`": (UNET, "bfloat16", True),
    "DiT, bfloat16": (DIT, "bfloat16", False),
    "DiT, float32, `--checkpointing`": (DIT, "float32", True),
}


def main() -> None:
    if sys.argv[1:]:
        print(json.dumps(measured(*CASES[sys.argv[1]])))
        return
    print("| | estimate, MiB | taken, MiB |\n| --- | --- | --- |")
    for name in CASES:
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", name], env=environment, capture_output=True, check=True
        )
        estimate, taken = json.loads(done.stdout)
        print(f"| {name} | {estimate:,} | {taken:,} |", flush=True)


def estimate_of(recipe: Digits, data: Dataset) -> int:
    (objective, *_), feed = fresh_training(recipe, data, torch.device("cpu"))
    return estimated(*objective, lambda n: next(feed(n, n)), len(LENGTHS))(BATCH)


def measured(network: str, dtype: str, checkpointing: bool) -> tuple[int, int]:
    """(estimated, taken) in MiB."""
    torch.set_num_threads(1)
    recipe = Digits(
        samples=10**6, batch=BATCH, dtype=dtype, learning_rate=1e-3, network=network, checkpointing=checkpointing
    )
    data = Dataset("some", torch.randint(0, 256, (512, 3, 64, 64), dtype=torch.uint8))
    estimate = estimate_of(recipe, data)
    before = told("/proc/self/status", "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    loop = Loop(recipe, data)
    for _ in range(3):
        loop.update()
    return estimate >> 20, (told("/proc/self/status", "VmHWM") - before) >> 20


if __name__ == "__main__":
    main()
