"""A run: the folder, its trial, its loop, and going on where it stopped."""

import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__, files
from ..data.base import Dataset
from ..discover import describe
from ..errors import ReverieError
from ..systems.base import fill
from ..systems.diffusion import Diffusion
from ..training import checkpoints
from ..training.averages import Average, Power, snapshot, weights_of
from ..training.checkpoints import Checkpoint
from ..training.logs import Log, Progress
from ..training.loop import Objective, Step, train
from ..training.processes import accelerator, bare, bfloat16_is_fast
from ..training.rates import Trapezoid
from .card import card

if TYPE_CHECKING:
    from .generation import Generation

TRIAL_SECONDS = 6.0
LENGTHS = (0.05, 0.1)
"""Of the power averages whose snapshots allow any other to be reconstructed: Karras et al. 2024."""


def train_run(recipe: "Generation", out: Path | None, resume: bool) -> Path:
    """Does the recipe in a new folder, or goes on in an old one, and returns the folder. Raises ReverieError."""
    recipe.checked()
    data = recipe.loaded()
    if resume:
        assert out is not None
        folder, settled = out, resumed(out, data)
        recipe = replace(recipe, **settled["options"])
    else:
        folder = fresh(out, data.name)
        recipe, chosen = settle(recipe, data)
        settled = {"recipe": type(recipe).__name__, "options": options(recipe), "chosen": chosen, **origin(data)}
    torch.set_num_threads(settled["chosen"]["threads"])
    require_space(folder, recipe, data)
    system = recipe.system(data)
    if not resume:
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "recipe.json", settled)
        files.write_json(folder / "local.json", {"data": recipe.data})
    say(f"{len(data):,} samples of {'x'.join(map(str, data.shape))}, {size_of(system):,} parameters, {recipe.dtype}, "
        f"{recipe.samples:,} samples to see; run folder {folder}")  # fmt: skip
    finished = fit(recipe, data, system, folder, resume)
    if finished:
        say(f"done. Make samples with:\n\n    reverie sample {folder}\n")
    return folder


def fit(recipe: "Generation", data: Dataset, system: Diffusion, folder: Path, resume: bool) -> bool:
    """The loop around `train`; whether it came to its end."""
    from .generation import batches

    assert recipe.samples and recipe.dtype
    door = accelerator()
    loss = recipe.loss(system)
    backbone = system.network
    system.denoiser.backbone = door.prepare(backbone)
    loss.to(door.device)
    optimizer = door.prepare(optimizer_of(recipe, loss))
    kept = {length: Average(backbone, Power(length)) for length in sorted({*LENGTHS, recipe.average})}
    count = seen = 0
    if resume:
        count, seen = restore(folder, backbone, optimizer, kept)
    micro = recipe.micro_batch or recipe.batch // door.num_processes
    fed = batches(data, system.codec, system.conditioner, seed=recipe.seed, seen=seen, total=recipe.samples,
                  batch=recipe.batch, micro_batch=micro, rank=door.process_index, processes=door.num_processes,
                  device=door.device)  # fmt: skip
    steps = train(
        [Objective(loss, optimizer)], fed, accelerator=door, accumulate=recipe.batch // door.num_processes // micro,
        rate=Trapezoid(recipe.samples, recipe.warmup, recipe.decay), seed=recipe.seed, count=count, seen=seen,
    )  # fmt: skip
    with Log(folder, seen) as log, interruptible() as interrupted:
        progress, reports = Progress(recipe.samples, seen), Reports(recipe, seen)
        for step in steps:
            for average in kept.values():
                average.update(backbone, step.before, step.seen)
            reports.add(step)
            if not door.is_main_process:
                continue
            progress(step.seen, reports.loss, recipe.learning_rate * step.rate)
            if passes(step, recipe.samples, 100):
                log.report(step.seen, reports.take(progress))
            if passes(step, recipe.samples, recipe.snapshots):
                for length in LENGTHS:
                    snapshot(folder / "ema", kept[length], step.seen)
            due = passes(step, recipe.samples, recipe.checkpoints)
            if due or interrupted():
                save(recipe, system, folder, backbone, optimizer, kept, step)
            if due:
                preview(recipe, system, folder, kept[recipe.average], step.seen)
            if interrupted() and step.seen < recipe.samples:
                say(
                    f"\nstopped at {step.seen:,} samples, all saved. Go on with:\n\n    reverie train --resume {folder}\n"
                )
                return False
    system.denoiser.backbone = bare(backbone)
    return True


def passes(step: Step, total: int, times: int) -> bool:
    """Whether the step reached one of `times` even marks of the whole."""
    return step.before * times // total < step.seen * times // total


class Reports:
    """Averages of what the steps said since the last report; the loss on the way is a running one."""

    def __init__(self, recipe: "Generation", seen: int) -> None:
        self.rate, self.loss, self.started, self.first = recipe.learning_rate, 0.0, time.monotonic(), seen
        self.steps: list[Step] = []

    def add(self, step: Step) -> None:
        self.loss = step.losses[0] if not self.loss else self.loss + 0.02 * (step.losses[0] - self.loss)
        self.steps.append(step)

    def take(self, progress: Progress) -> dict[str, float]:
        steps, self.steps = self.steps, []
        passed = time.monotonic() - self.started
        return {
            "loss": sum(step.losses[0] for step in steps) / len(steps),
            "grad_norm": sum(step.grad_norm for step in steps) / len(steps),
            "learning_rate": self.rate * steps[-1].rate,
            "seconds": passed,
            "samples_per_second": (steps[-1].seen - self.first) / max(passed, 1e-9),
        }


def optimizer_of(recipe: "Generation", loss: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(loss.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99),
                             weight_decay=recipe.weight_decay, fused=True)  # fmt: skip


def settle(recipe: "Generation", data: Dataset) -> tuple["Generation", dict[str, Any]]:
    """The recipe with nothing left open, and what was chosen by trial: dtype, samples, threads."""
    threads = torch.get_num_threads()
    speeds = {}
    if recipe.dtype is None or recipe.samples is None:
        dtypes = [recipe.dtype] if recipe.dtype else ["float32", *(["bfloat16"] if bfloat16_is_fast() else [])]
        speeds = {dtype: speed_of(replace(recipe, dtype=dtype), data) for dtype in dtypes}
        recipe = replace(recipe, dtype=max(speeds, key=lambda dtype: speeds[dtype]))
    if recipe.samples is None:
        minutes = recipe.minutes or 5.0
        amount = 0.94 * minutes * 60 * speeds[str(recipe.dtype)]  # the rest goes into previews and checkpoints
        recipe = replace(recipe, samples=int(amount))
    assert recipe.samples
    total = -(-recipe.samples // recipe.batch) * recipe.batch
    recipe = replace(recipe, samples=total, minutes=None)
    recipe = replace(recipe, network=recipe.network, warmup=min(recipe.warmup, total // 4))
    return recipe, {"threads": threads}


def speed_of(recipe: "Generation", data: Dataset) -> float:
    """Samples a second of a few updates on weights that are then thrown away."""
    from .generation import batches

    system = recipe.system(data)
    door = accelerator()
    loss = recipe.loss(system)
    system.denoiser.backbone = door.prepare(system.network)
    loss.to(door.device)
    optimizer = door.prepare(optimizer_of(recipe, loss))
    micro = recipe.micro_batch or recipe.batch
    fed = batches(data, system.codec, system.conditioner, seed=recipe.seed, seen=0, total=10**9, batch=recipe.batch,
                  micro_batch=micro, device=door.device)  # fmt: skip
    times, started = [], time.monotonic()
    for _ in train([Objective(loss, optimizer)], fed, accelerator=door, accumulate=recipe.batch // micro):
        times.append(time.monotonic())
        if len(times) > 2 and times[-1] - started > TRIAL_SECONDS:
            break
    return (len(times) - 1) * recipe.batch / (times[-1] - times[0])


def save(
    recipe: "Generation", system: Diffusion, folder: Path, backbone: torch.nn.Module, optimizer: Any,
    kept: dict[float, Average], step: Step,
) -> None:  # fmt: skip
    """The checkpoint, and the model as it is now."""
    raw = bare(backbone)
    state, groups = checkpoints.of_optimizer(optimizer.optimizer if hasattr(optimizer, "optimizer") else optimizer)
    tensors = {"raw": raw.state_dict(), "optimizer": state}
    tensors |= {f"average-{length:.3f}": average.tensors for length, average in kept.items()}
    checkpoints.save(folder / "checkpoints", Checkpoint(step.seen, tensors, {"count": step.updates, "groups": groups}))
    system.about["seen"] = step.seen
    system.denoiser.backbone, prepared = raw, system.denoiser.backbone
    system.save(folder, ema={**raw.state_dict(), **kept[recipe.average].tensors}, raw=raw.state_dict())
    files.write_text(folder / "README.md", card(system, folder.name, recipe))
    system.denoiser.backbone = prepared


def restore(folder: Path, backbone: torch.nn.Module, optimizer: Any, kept: dict[float, Average]) -> tuple[int, int]:
    """Puts the newest whole checkpoint back; (count, seen)."""
    found, faults = checkpoints.latest(folder / "checkpoints")
    for fault in faults:
        say(f"skipped a checkpoint: {fault}")
    if found is None:
        say("no checkpoint was saved yet: starting from the beginning")
        return 0, 0
    fill(bare(backbone), found.tensors["raw"], str(folder))
    inner = optimizer.optimizer if hasattr(optimizer, "optimizer") else optimizer
    checkpoints.into_optimizer(inner, found.tensors["optimizer"], found.state["groups"])
    for length, average in kept.items():
        average.tensors = found.tensors[f"average-{length:.3f}"]
    for path in (folder / "ema").glob("*.safetensors"):
        if int(path.stem.split("-")[1]) > found.seen:
            path.unlink()
    say(f"going on from {found.seen:,} samples")
    return found.state["count"], found.seen


def preview(recipe: "Generation", system: Diffusion, folder: Path, average: Average, seen: int) -> None:
    """Grids of samples at fixed seeds, from the raw and the averaged weights."""
    net: Any = bare(system.network)
    shown = Diffusion.build(system.describe() | {"backbone": {"name": type(net).__name__, **net.config}})
    raw = bare(system.network).state_dict()
    for name, tensors in (("raw", raw), ("ema", {**raw, **average.tensors})):
        fill(shown.network, {key: value.cpu() for key, value in tensors.items()}, name)
        samples = shown.generate(20, seed=recipe.seed, sample_steps=12, dtype=recipe.dtype)
        path = folder / "samples" / f"{seen:08d}-{name}.png"
        path.parent.mkdir(exist_ok=True)
        write_picture(shown.modality.show(samples.raw, columns=10), path)


def write_picture(picture: Any, path: Path) -> None:
    import io

    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    files.write_bytes(path, buffer.getvalue())


def options(recipe: "Generation") -> dict[str, Any]:
    """The resolved options, less the path of the data, which is this machine's."""
    return {f.name: describe(getattr(recipe, f.name)) for f in fields(recipe) if f.name != "data"}


def origin(data: Dataset) -> dict[str, Any]:
    return {
        "data": {"name": data.name, "count": len(data), "fingerprint": data.fingerprint()},
        "versions": {"reverie": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def resumed(folder: Path, data: Dataset) -> dict[str, Any]:
    """recipe.json of a run to go on with. Raises ReverieError where the data are not the same."""
    settled = files.read_json(folder / "recipe.json")
    if settled["data"]["fingerprint"] != data.fingerprint():
        raise ReverieError(
            f"the data are not those that {folder} was trained on ({len(data):,} samples now, "
            f"{settled['data']['count']:,} then, or other contents): put the old ones back, or start a new run"
        )
    return settled


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


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a question that the loop asks; the second stops at once."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("\nstopping after this update; once more to stop at once")

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread: nobody can press a key
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
