"""What is settled before a run: its folder, the room for it, and what a short trial decides."""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.base import Dataset
from ..errors import ReverieError
from ..systems.diffusion import Diffusion
from ..training.averages import weights_of
from ..training.loop import Objective, train
from ..training.memory import OutOfMemory
from ..training.processes import bfloat16_is_fast
from .networks import chosen_network
from .screen import say

if TYPE_CHECKING:
    from .generation import Generation

TRIAL_SECONDS = 6.0
LENGTHS = (0.05, 0.1)
"""Of the power averages whose snapshots allow any other to be reconstructed: Karras et al. 2024."""


def settle(recipe: "Generation", data: Dataset, device: torch.device) -> tuple["Generation", dict[str, Any]]:
    """The recipe with nothing left open, and what was chosen: the threads, and [samples seen, micro-batch] from where on
    memory called for smaller ones.
    """
    threads = torch.get_num_threads()
    speeds: dict[str, float] = {}
    if recipe.dtype is None or recipe.samples is None:
        dtypes = [recipe.dtype] if recipe.dtype else ["float32", *(["bfloat16"] if bfloat16_is_fast() else [])]
        for dtype in dtypes:
            recipe, speeds[dtype] = fitting(replace(recipe, dtype=dtype), data, device)
        recipe = replace(recipe, dtype=max(speeds, key=lambda dtype: speeds[dtype]))
    if recipe.samples is None:
        minutes = recipe.minutes or 5.0
        amount = 0.94 * minutes * 60 * speeds[str(recipe.dtype)]  # the rest goes into previews and checkpoints
        recipe = replace(recipe, samples=int(amount))
    assert recipe.samples
    total = -(-recipe.samples // recipe.batch) * recipe.batch
    recipe = replace(recipe, samples=total, minutes=None)
    recipe = replace(
        recipe, network=recipe.network or chosen_network(data.shape), warmup=min(recipe.warmup, total // 4)
    )
    return recipe, {"threads": threads, "smaller": []}


def fitting(recipe: "Generation", data: Dataset, device: torch.device) -> tuple["Generation", float]:
    """The recipe with a micro-batch that fits in memory, and its speed. Raises ReverieError where none fits."""
    while True:
        try:
            return recipe, speed_of(recipe, data, device)
        except OutOfMemory as error:
            micro = smaller(recipe.micro_batch or recipe.batch, recipe.batch)
            if not micro:
                raise ReverieError(f"{error}, and there is nothing smaller: choose a smaller --network") from None
            recipe = replace(recipe, micro_batch=micro)
            say(f"{error}: trying {micro} samples at a time")


def smaller(micro: int, share: int) -> int:
    """The next smaller micro-batch that a share of the batch is a whole number of; 0 where there is none."""
    return next((n for n in range(micro // 2, 0, -1) if share % n == 0), 0)


def speed_of(recipe: "Generation", data: Dataset, device: torch.device) -> float:
    """Samples a second of a few updates of one process, on weights that are then thrown away."""
    from .generation import batches

    system = recipe.system(data)
    loss = recipe.loss(system).to(device)
    optimizer = optimizer_of(recipe, loss)
    micro = recipe.micro_batch or recipe.batch
    fed = batches(data, system.codec, system.conditioner, seed=recipe.seed, seen=0, total=10**9, batch=recipe.batch,
                  micro_batch=micro, device=device)  # fmt: skip
    times, started = [], time.monotonic()
    for _ in train([Objective(loss, optimizer)], fed, accumulate=recipe.batch // micro):
        times.append(time.monotonic())
        if len(times) > 2 and times[-1] - started > TRIAL_SECONDS:
            break
    return (len(times) - 1) * recipe.batch / (times[-1] - times[0])


def optimizer_of(recipe: "Generation", loss: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(loss.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99),
                             weight_decay=recipe.weight_decay, fused=True)  # fmt: skip


def fresh(out: Path | None, name: str) -> Path:
    """A folder that does not exist yet, or is empty. Raises ReverieError."""
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ReverieError(f"{out} exists and is not empty: choose another --out, or go on with --resume {out}")
        return out
    root, stem = Path("runs"), "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "run"
    return next(p for i in range(1, 10**6) if not (p := root / (stem if i == 1 else f"{stem}-{i}")).exists())


def require_space(folder: Path, recipe: "Generation", data: Dataset) -> None:
    """Raises ReverieError where the disk cannot hold what training will write."""
    size = 4 * size_of(recipe.system(data))
    needed = size * (3 * (3 + len(LENGTHS) + 1) + 2 * recipe.snapshots + 2)
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ReverieError(
            f"training needs about {needed / 2**20:,.0f} MiB in {place}, which has {free / 2**20:,.0f} free: "
            "make room, choose another --out, or keep fewer --snapshots"
        )


def size_of(system: Diffusion) -> int:
    return sum(tensor.numel() for tensor in weights_of(system.network).values())
