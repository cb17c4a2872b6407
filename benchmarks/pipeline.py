"""What it costs to train from files: python -m benchmarks.pipeline

Pictures a second of the training loop, fed from a folder of 20 000 JPEG files as `reverie train FOLDER` holds them, from the same
levels in a tensor, and from a file of them as data larger than memory are held, in the page cache and read from the disk anew
for every batch. All take a turn in every round; ratios are of one round. Writes docs/pipeline.json; some ten minutes.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reverie.data import Dataset
from reverie.data.stored import Stored
from reverie.recipes.feeding import batches
from reverie.recipes.folder import Folder
from reverie.recipes.generation import Generation
from reverie.recipes.trial import LENGTHS, optimizer_of, settle
from reverie.training.averages import Average, Power
from reverie.training.loop import Objective, train
from reverie.training.memory import keep_freed
from reverie.training.processes import bfloat16_is_fast

OUT = Path(__file__).parent.parent / "docs" / "pipeline.json"
FILES, SIDE, BAR = 20_000, 64, 0.97
MEMORY, FOLDER = "a tensor", "the folder"


class Cold(Stored):
    """Rows whose pages are not in memory when they are asked for."""

    def numbers(self, rows):
        os.posix_fadvise(self.file.number, 0, 0, os.POSIX_FADV_DONTNEED)
        return super().numbers(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a turn lasts at least")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write(place / "pictures", given.files)
        started = time.perf_counter()
        folder = Folder(data=str(place / "pictures")).loaded()
        decoding = time.perf_counter() - started
        assert len(folder) == given.files and folder.raw.dtype == torch.uint8
        levels = folder.raw[torch.arange(len(folder))]
        (place / "rows").write_bytes(levels.numpy().tobytes())
        os.sync()
        shape = tuple(levels.shape)
        sources = {MEMORY: Dataset("memory", levels), FOLDER: folder}
        sources |= {kind: Dataset("stored", cls(place / "rows", 0, np.dtype(np.uint8), shape, torch.uint8))
                    for kind, cls in (("a file, in the page cache", Stored), ("a file, from the disk", Cold))}  # fmt: skip
        dtype = "bfloat16" if bfloat16_is_fast() else "float32"
        recipe = settle(Folder(samples=10**9, dtype=dtype, compile="off"), folder, torch.device("cpu"))[0]
        loops = {(kind, n): Loop(replace(recipe, workers=n), data) for kind, data in sources.items() for n in (0, 1)}
        speeds: dict[str, list[float]] = {f"{kind}, {workers} workers": [] for kind, workers in loops}
        for i in range(given.rounds):
            for (kind, workers), loop in rotated(list(loops.items()), i):
                speeds[f"{kind}, {workers} workers"].append(loop.speed(given.seconds))
            print(f"{i + 1}: " + ", ".join(f"{kind} {found[-1]:.1f}" for kind, found in speeds.items()), flush=True)
    found = {"files": given.files, "side": SIDE, "threads": given.threads, "decoding": decoding, "speeds": speeds}
    given.out.write_text(json.dumps(found, indent=1) + "\n")


def rotated(contenders: list[Any], by: int) -> list[Any]:
    """The same, each first in its turn: who comes first finds another machine."""
    by %= len(contenders)
    return contenders[by:] + contenders[:by]


def write(folder: Path, count: int) -> None:
    """JPEG files, each a gradient of its own colours with some texture: what matters here is that each is decoded."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    down, across = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j]  # type: ignore[misc]
    for i in range(count):
        a, b, c = draw.uniform(0, 200, (3, 3))
        picture = a + b * down[..., None] * 0.2 + c * across[..., None] * 0.2 + draw.normal(0, 8, (SIDE, SIDE, 1))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(folder / f"{i:05d}.jpg", quality=90)


class Loop:
    """Training as `reverie train` runs it, a turn at a time."""

    def __init__(self, recipe: Generation, data: Dataset) -> None:
        system = recipe.system(Dataset("some", data.raw[torch.arange(256)], modality=data.modality))
        loss = recipe.loss(system)
        self.network = system.network
        self.averages = [Average(self.network, Power(length)) for length in LENGTHS]
        self.batch = recipe.batch
        fed = batches(data, system.codec, system.conditioner, seed=0, seen=0, total=10**9, batch=self.batch,
                      micro_batch=self.batch, workers=recipe.workers)  # fmt: skip
        self.steps: Iterator[Any] = train([Objective(loss, optimizer_of(recipe, loss))], fed)

    def speed(self, seconds: float) -> float:
        self.update()
        started, done = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < seconds or not done:
            self.update()
            done += self.batch
        return done / passed

    def update(self) -> None:
        step = next(self.steps)
        for average in self.averages:
            average.update(self.network, step.before, step.seen)


if __name__ == "__main__":
    main()
