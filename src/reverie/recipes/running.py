"""A run: the folder, its trial, its loop, and going on where it stopped."""

import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__, files
from ..data.base import Dataset
from ..discover import describe
from ..errors import ReverieError
from ..files import fill
from ..modalities.grids import write_picture
from ..systems.base import hash_of
from ..systems.diffusion import Diffusion
from ..systems.records import KEY, made_by
from ..training import checkpoints
from ..training.averages import Average, Power, snapshot
from ..training.checkpoints import Checkpoint
from ..training.logs import Log, Progress
from ..training.loop import Objective, Step, train
from ..training.processes import accelerator, bare
from ..training.rates import Trapezoid
from .card import card
from .trial import LENGTHS, fresh, optimizer_of, require_space, settle, size_of

if TYPE_CHECKING:
    from .generation import Generation


def train_run(recipe: "Generation", out: Path | None, resume: bool, expected: Mapping[str, Any] | None = None) -> Path:
    """Does the recipe in a new folder, or goes on in an old one, and returns the folder. Raises ReverieError.

    The data must be those whose name and fingerprint are `expected`, where a recipe that was done before names them.

    Of several processes the first settles what is open and makes the folder, and the others read it there.
    """
    recipe.checked()
    data = recipe.loaded()
    if expected is not None:
        if data.fingerprint() != expected.get("fingerprint"):
            raise ReverieError("the data are not those of the recipe (another fingerprint): give --data PATH")
        data.name = str(expected.get("name"))
    door = accelerator()
    if door.num_processes > 1 and out is None:
        raise ReverieError("several processes need one folder to agree on: give --out RUN")
    if door.is_main_process and not resume:
        out = fresh(out, data.name)
        recipe, chosen = settle(recipe, data, door.device)
        recipe.shared_among(door.num_processes)
        require_space(out, recipe, data)
        recipe.loss(recipe.system(data))  # what cannot be built is refused before there is a folder
        out.mkdir(parents=True, exist_ok=True)
        settled = {"recipe": type(recipe).__name__, "options": options(recipe), "chosen": chosen, **origin(data)}
        files.write_json(out / "recipe.json", settled)
        files.write_json(out / "local.json", {"data": recipe.data})
    door.wait_for_everyone()
    assert out is not None
    settled = resumed(out, data)
    recipe = replace(recipe, **settled["options"])
    recipe.shared_among(door.num_processes)
    torch.set_num_threads(settled["chosen"]["threads"])
    system = recipe.system(data)
    if door.is_main_process:
        say(f"{len(data):,} samples of {'x'.join(map(str, data.shape))}, {size_of(system):,} parameters, {recipe.dtype}, "
            f"{recipe.samples:,} samples to see; run folder {out}")  # fmt: skip
    finished = fit(recipe, data, system, out, resume, door)
    if finished and door.is_main_process:
        say(f"done. Make samples with:\n\n    reverie sample {out}\n")
    return out


def fit(recipe: "Generation", data: Dataset, system: Diffusion, folder: Path, resume: bool, door: Any) -> bool:
    """The loop around `train`; whether it came to its end."""
    from .generation import batches

    assert recipe.samples and recipe.dtype
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
    log = Log(folder, seen) if door.is_main_process else None
    with log or nullcontext(), interruptible() as interrupted:
        progress, reports = Progress(recipe.samples, seen), Reports(recipe, seen)
        for step in steps:
            for average in kept.values():
                average.update(backbone, step.before, step.seen)
            reports.add(step)
            if log is None:
                continue
            progress(step.seen, reports.loss, recipe.learning_rate * step.rate)
            if passes(step, recipe.samples, 100):
                log.report(step.seen, reports.take())
            if passes(step, recipe.samples, recipe.snapshots):
                for length in LENGTHS:
                    snapshot(folder / "ema", kept[length], step.seen)
            due = passes(step, recipe.samples, recipe.checkpoints)
            if due or interrupted():
                save(recipe, system, folder, backbone, optimizer, kept, step)
            if due:
                preview(recipe, system, folder, kept[recipe.average], step.seen)
            if due or interrupted():
                with unwrapped(system):
                    files.write_text(folder / "README.md", card(system, folder, recipe))
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

    def take(self) -> dict[str, float]:
        steps, self.steps = self.steps, []
        passed = time.monotonic() - self.started
        return {
            "loss": sum(step.losses[0] for step in steps) / len(steps),
            "grad_norm": sum(step.grad_norm for step in steps) / len(steps),
            "learning_rate": self.rate * steps[-1].rate,
            "seconds": passed,
            "samples_per_second": (steps[-1].seen - self.first) / max(passed, 1e-9),
        }


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
    with unwrapped(system):
        system.save(folder, ema={**raw.state_dict(), **kept[recipe.average].tensors}, raw=raw.state_dict())


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
    with unwrapped(system):
        shown, raw = Diffusion.build(system.describe()), system.network.state_dict()
    for name, tensors in (("raw", raw), ("ema", {**raw, **average.tensors})):
        fill(shown.network, {key: value.cpu() for key, value in tensors.items()}, name)
        samples = shown.generate(20, seed=recipe.seed, sample_steps=12, dtype=recipe.dtype)
        path = folder / "samples" / f"{seen:08d}-{name}.png"
        path.parent.mkdir(exist_ok=True)
        shown.about["weights"], shown.weights_hash = name, hash_of(folder, name)
        about = made_by(shown, system.about["name"], {**samples.info, "seen": seen}, made="preview")
        write_picture(shown.modality.show(samples.raw, columns=10), path, {KEY: about})


@contextmanager
def unwrapped(system: Diffusion) -> Iterator[None]:
    """The system with its own backbone inside, without what several processes wrap around it."""
    prepared = system.denoiser.backbone
    system.denoiser.backbone = bare(prepared)
    try:
        yield
    finally:
        system.denoiser.backbone = prepared


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
