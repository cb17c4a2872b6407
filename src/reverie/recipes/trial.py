"""What is settled before a run: its folder, the room for it, and what a short trial decides."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.base import Dataset
from ..errors import ReverieError
from ..systems.base import System
from ..systems.kernels import check_compiles
from ..training.averages import weights_of
from ..training.estimate import estimated, free
from ..training.loop import Objective, train
from ..training.memory import OutOfMemory
from ..training.optimizers import OPTIMIZERS, RATES
from ..training.processes import bfloat16_is_fast
from .feeding import batches
from .latents import latents
from .screen import say

if TYPE_CHECKING:
    from .learning import Training

TRIAL_SECONDS = 6.0
LONG, GAIN = 600.0, 1.03
"""Seconds of training, and of speed as a factor, from where on compiled kernels are tried, and kept."""
ROOM = 0.85
"""Of the memory that is free, the share that an estimate may fill: it leaves out what libraries use within an operation."""
LENGTHS = (0.05, 0.1)
"""Of the power averages whose snapshots allow any other to be reconstructed: Karras et al. 2024."""


def settle(
    recipe: "Training", data: Dataset, device: torch.device, processes: int = 1, again: bool = False
) -> tuple["Training", dict[str, Any]]:
    """The recipe with nothing left open, and what was chosen: the threads, and [samples seen, micro-batch] from where on
    memory called for smaller ones. `again`: it was done before, and how it was shared out then stays.
    """
    threads = torch.get_num_threads()
    recipe = replace(recipe, learning_rate=recipe.learning_rate or RATES[recipe.optimizer])
    share = recipe.batch // processes
    recipe = recipe if again else roomy(recipe, data, device, share)
    speeds: dict[str, float] = {}
    if recipe.dtype is None or recipe.samples is None:
        dtypes = [recipe.dtype] if recipe.dtype else ["float32", *(["bfloat16"] if bfloat16_is_fast() else [])]
        for dtype in dtypes:
            recipe, speeds[dtype] = fitting(replace(recipe, dtype=dtype), data, device, share)
        recipe = replace(recipe, dtype=max(speeds, key=lambda dtype: speeds[dtype]))
    speed = speeds.get(str(recipe.dtype), 0.0)
    recipe, speed = compiling(recipe, data, device, share, speed)
    if recipe.samples is None:
        minutes = recipe.minutes or 5.0
        amount = 0.94 * minutes * 60 * speed  # the rest goes into previews and checkpoints
        recipe = replace(recipe, samples=int(amount))
    assert recipe.samples
    total = -(-recipe.samples // recipe.batch) * recipe.batch
    recipe = replace(recipe.closed(data, total), samples=total, minutes=None)
    return recipe, {"threads": threads, "smaller": []}


def roomy(recipe: "Training", data: Dataset, device: torch.device, share: int) -> "Training":
    """The recipe with a micro-batch that fits in what memory is free by an estimate, which is said; as it was, where none can
    be made. `share` is what a process has of the batch.
    """
    dtype = recipe.dtype or ("bfloat16" if bfloat16_is_fast() else "float32")
    likely = replace(recipe.plain(), dtype=dtype)  # whose tensors can be seen
    try:
        (objective, *_), feed = fresh_training(likely, data, device)
        counted = estimated(*objective, lambda n: next(feed(n, n)), len({*LENGTHS, recipe.average}))
    except OutOfMemory:  # the trial, or training, says what can be done
        return recipe
    room, micro = free(device), recipe.micro_batch or share
    if recipe.micro_batch is None:
        while counted(micro) > ROOM * room and smaller(micro, share):
            micro = smaller(micro, share)
    say(f"memory: about {shown(counted(micro))} with {micro} samples at a time, of {shown(room)} free"
        + ("" if counted(micro) <= ROOM * room else ": it may run out; --checkpointing takes less"))  # fmt: skip
    return recipe if micro == (recipe.micro_batch or share) else replace(recipe, micro_batch=micro)


def shown(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{max(1, size >> 20)} MiB"


def compiling(recipe: "Training", data: Dataset, device: torch.device, share: int,
              speed: float) -> tuple["Training", float]:  # fmt: skip
    """The recipe with compiled kernels or without, and its speed. Raises ReverieError where they are asked for and cannot be.

    Auto tries them where training at the speed so far takes LONG seconds, and keeps them for a gain above rounding's worth.
    """
    seconds = recipe.samples / speed if recipe.samples and speed else 60 * (recipe.minutes or 5.0) if speed else 0.0
    if recipe.compile == "off":
        return recipe, speed
    choice: Any = recipe
    off, automatic = replace(choice, compile="off"), recipe.compile == "auto"
    if automatic and seconds < LONG:
        return off, speed
    try:
        check_compiles(recipe.system(data).network, device)
    except ReverieError:
        if automatic:
            return off, speed
        raise
    on, gained = replace(choice, compile="on"), 0.0
    if speed:
        on, gained = fitting(on, data, device, share)
    return (off, speed) if automatic and gained < GAIN * speed else (on, gained)


def fitting(recipe: "Training", data: Dataset, device: torch.device, share: int) -> tuple["Training", float]:
    """The recipe with a micro-batch that fits in memory, and its speed. Raises ReverieError where none fits."""
    while True:
        try:
            return recipe, speed_of(recipe, data, device)
        except OutOfMemory as error:
            micro = smaller(recipe.micro_batch or recipe.batch, share)
            if not micro:
                raise ReverieError(f"{error}, and there is nothing smaller: choose a smaller --network") from None
            recipe = replace(recipe, micro_batch=micro)
            say(f"{error}: trying {micro} samples at a time")


def smaller(micro: int, share: int) -> int:
    """The next smaller micro-batch that a share of the batch is a whole number of; 0 where there is none."""
    return next((n for n in range(micro // 2, 0, -1) if share % n == 0), 0)


def speed_of(recipe: "Training", data: Dataset, device: torch.device) -> float:
    """Samples a second of a few updates of one process, on weights that are then thrown away."""
    objectives, feed = fresh_training(recipe, data, device)
    micro = recipe.micro_batch or recipe.batch
    times: list[float] = []  # from the end of the first update, which makes memory and kernels ready
    for _ in train(objectives, feed(recipe.batch, micro), accumulate=recipe.batch // micro):
        times.append(time.monotonic())
        if len(times) > 2 and times[-1] - times[0] > TRIAL_SECONDS:
            break
    return (len(times) - 1) * recipe.batch / (times[-1] - times[0])


def fresh_training(
    recipe: "Training", data: Dataset, device: torch.device
) -> tuple[list[Objective], Callable[[int, int], Iterator[Mapping[str, Any]]]]:
    """What is trained, on weights that are nobody's, and its batches by (batch, micro-batch), without an end."""
    system = recipe.system(data)
    system.network.compiled = recipe.compile == "on"
    loss, coded = recipe.loss(system).to(device), latents(data, system.codec)

    def feed(batch: int, micro_batch: int) -> Iterator[Mapping[str, Any]]:
        return batches(data, system.codec, system.conditioner, seed=recipe.seed, seen=0, total=10**9, batch=batch,
                       micro_batch=micro_batch, device=device, workers=recipe.workers,
                       augmentation=recipe.augmentation(data), latents=coded)  # fmt: skip

    rivals = [Objective(one.to(device), optimizer_of(recipe, one)) for one in recipe.rivals(loss)]
    return [Objective(loss, optimizer_of(recipe, loss)), *rivals], feed


def optimizer_of(recipe: "Training", loss: torch.nn.Module) -> torch.optim.Optimizer:
    dtype = getattr(torch, recipe.dtype or "float32")
    assert recipe.learning_rate
    return OPTIMIZERS[recipe.optimizer](loss, recipe.learning_rate, recipe.weight_decay, dtype)


def fresh(out: Path | None, name: str) -> Path:
    """A folder that does not exist yet, or is empty. Raises ReverieError."""
    if out is not None:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ReverieError(f"{out} exists and is not empty: choose another --out, or go on with --resume {out}")
        return out
    root, stem = Path("runs"), "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "run"
    return next(p for i in range(1, 10**6) if not (p := root / (stem if i == 1 else f"{stem}-{i}")).exists())


def require_space(folder: Path, recipe: "Training", data: Dataset) -> None:
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


def size_of(system: System) -> int:
    return sum(tensor.numel() for tensor in weights_of(system.network).values())
