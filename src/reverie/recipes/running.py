"""A run: the folder, its trial, its loop, and going on where it stopped."""

import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__, files
from ..data.base import Dataset
from ..data.check import Check
from ..discover import describe
from ..errors import ReverieError
from ..training.logs import Log, Progress
from ..training.loop import Step
from ..training.memory import keep_freed
from ..training.processes import accelerator, bare
from .base import PLACES
from .latents import require
from .screen import say
from .session import Session, marked, room
from .starting import checked
from .trial import fresh, require_space, settle, size_of

if TYPE_CHECKING:
    from .learning import Training


def train_run(recipe: "Training", out: Path | None, resume: bool, before: Mapping[str, Any] | None = None) -> Path:
    """Does the recipe in a new folder, or goes on in an old one, and returns the folder. Raises ReverieError.

    Where the recipe was done before, `before` is its recipe.json: the data must be those, and what was chosen then stays.
    Of several processes the first settles what is open and makes the folder, and the others read it there.
    """
    recipe.checked()
    data = recipe.loaded()
    if before is not None:
        if data.fingerprint() != before["data"].get("fingerprint"):
            raise ReverieError("the data are not those of the recipe (another fingerprint): give --data PATH")
        data.name = str(before["data"].get("name"))
    keep_freed()
    door = accelerator()
    if door.num_processes > 1 and out is None:
        raise ReverieError("several processes need one folder to agree on: give --out RUN")
    if door.is_main_process and not resume and data.report.found:
        for line in Check(data).lines():
            say(line)
        if data.captions and not recipe.reads_captions:
            say(
                "note: the captions are not used by this recipe, which learns no text: `reverie train text_to_image` does"
            )
    if door.is_main_process and not resume:
        out = fresh(out, data.name)
        recipe, begun = recipe.started(data, before)
        recipe, chosen = settle(recipe, data, door.device, door.num_processes, again=before is not None)
        chosen = before["chosen"] if before else chosen
        recipe.shared_among(door.num_processes)
        require_space(out, recipe, data)
        recipe.loss(recipe.system(data))  # what cannot be built is refused before there is a folder
        out.mkdir(parents=True, exist_ok=True)
        settled = {
            "recipe": type(recipe).__name__,
            "options": options(recipe),
            "chosen": chosen,
            **begun,
            **origin(data),
        }
        files.write_json(out / "recipe.json", settled)
        places = {"data": recipe.data, "from": recipe.source, "codec": recipe.codec}
        files.write_json(out / "local.json", {key: place for key, place in places.items() if place or key == "data"})
    door.wait_for_everyone()
    assert out is not None
    settled = resumed(out, data)
    recipe = replace(recipe, **settled["options"])
    if "codec" in settled:
        require(recipe.codec, settled["codec"], str(out / "recipe.json"))
    recipe.shared_among(door.num_processes)
    torch.set_num_threads(settled["chosen"]["threads"])
    system = recipe.system(data)
    if told := settled.get("from"):
        checked(told, str(out / "recipe.json"))
        system.about["from"] = {key: told.get(key, "") for key in ("name", "weights", "sha256", "data", "licence")}
    if door.is_main_process:
        if augmentation := recipe.augmentation(data):
            say(f"{augmentation}")
        say(f"{len(data):,} samples of {'x'.join(map(str, data.shape))}, {size_of(system):,} parameters, {recipe.dtype}, "
            f"{recipe.samples:,} samples to see; run folder {out}")  # fmt: skip
    finished = fit(Session(recipe, data, system, out, door, settled), resume)
    if finished and door.is_main_process:
        say(f"done. {recipe.after}:\n\n    {recipe.command.format(run=out)}\n")
    return out


def fit(session: Session, resume: bool) -> bool:
    """The loop around the updates; whether it came to its end."""
    session.restore() if resume else session.begin()
    recipe, folder, main = session.recipe, session.folder, session.door.is_main_process
    assert recipe.samples and recipe.learning_rate
    with interruptible() as interrupted, Log(folder, session.seen) if main else nullcontext() as log:
        progress, reports = Progress(recipe.samples, session.seen), Reports(recipe, session.seen)
        for step in session.steps():
            if log is None:
                continue
            reports.add(step)
            progress(step.seen, reports.loss, recipe.learning_rate * step.rate)
            if marked(step.before, step.seen, recipe.samples, 100):
                with room(folder):
                    log.report(step.seen, reports.take())
            if marked(step.before, step.seen, recipe.samples, recipe.snapshots):
                session.snapshot()
            due = marked(step.before, step.seen, recipe.samples, recipe.checkpoints)
            if due or interrupted():
                session.save()
            if due:
                session.preview()
            if due or interrupted():
                session.describe()
            if interrupted() and step.seen < recipe.samples:
                say(
                    f"\nstopped at {step.seen:,} samples, all saved. Go on with:\n\n    reverie train --resume {folder}\n"
                )
                return False
        if reports.faults:
            say(f"{reports.faults:,} updates were skipped, since their numbers were not finite; log.jsonl says when")
    session.system.network = bare(session.backbone)
    return True


class Reports:
    """Averages of what the steps said since the last report; the loss on the way is a running one."""

    def __init__(self, recipe: "Training", seen: int) -> None:
        self.rate, self.loss, self.started, self.first = recipe.learning_rate or 0.0, 0.0, time.monotonic(), seen
        self.steps: list[Step] = []
        self.faults = 0

    def add(self, step: Step) -> None:
        self.steps.append(step)
        if step.fault:
            self.faults += 1
            say(f"\nskipped an update: {step.fault}")
        else:
            self.loss = step.losses[0] if not self.loss else self.loss + 0.02 * (step.losses[0] - self.loss)

    def take(self) -> dict[str, float]:
        steps, self.steps = self.steps, []
        good = [step for step in steps if not step.fault]
        passed = time.monotonic() - self.started
        means = {"loss": sum(step.losses[0] for step in good) / len(good),
                 "grad_norm": sum(step.grad_norm for step in good) / len(good)} if good else {}  # fmt: skip
        return means | {
            "learning_rate": self.rate * steps[-1].rate,
            "seconds": passed,
            "samples_per_second": (steps[-1].seen - self.first) / max(passed, 1e-9),
            **({"skipped": len(steps) - len(good)} if len(good) < len(steps) else {}),
        }


def options(recipe: "Training") -> dict[str, Any]:
    """The resolved options, less the places of data and source, which are this machine's."""
    return {f.name: describe(getattr(recipe, f.name)) for f in fields(recipe) if f.name not in PLACES}


def origin(data: Dataset) -> dict[str, Any]:
    return {
        "data": {"name": data.name, "count": len(data), "fingerprint": data.fingerprint()},
        "versions": {"reverie": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def resumed(folder: Path, data: Dataset) -> dict[str, Any]:
    """recipe.json of a run to go on with. Raises ReverieError where the data are not the same."""
    settled = files.read_json(folder / "recipe.json")
    if settled["data"].get("fingerprint") != data.fingerprint():
        raise ReverieError(
            f"the data are not those that {folder} was trained on ({len(data):,} samples now, "
            f"{settled['data'].get('count')} then, or other contents): put the old ones back, or start a new run"
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
