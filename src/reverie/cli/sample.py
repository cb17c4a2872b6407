"""reverie sample."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
import torch

from .. import files, guidance
from ..discover import plan
from ..errors import ReverieError
from ..guidance.base import Guidance
from ..modalities.grids import write_picture
from ..systems.records import BESIDE, KEY, made_by, records
from ..training.memory import keep_freed
from .sampling import START, bar, chosen, condition, name_of, opened, sampling_options

SHOWN = 400
"""Samples in the grid, at most."""
FEW = 6
"""Steps from which on it matters little what they begin with."""


@click.command("sample")
@sampling_options
@START
@click.option("-n", "--count", type=int, default=16, show_default=True, help="how many")
@click.option("--index", type=int, multiple=True, help="make sample number INDEX of the seed alone; may be repeated")
@click.option("--label", multiple=True, help="a class by name or number, or none; several are taken in turn")
@click.option(
    "--prompt", multiple=True, help="what is to be seen, of a model that reads text; several are taken in turn"
)
@click.option("--negative-prompt", help="what is not to be seen")
@click.option("--columns", type=int, help="of the grid")
@click.option("--out", type=click.Path(path_type=Path), help="a folder that does not exist yet")
@click.option("--no-metadata", is_flag=True, help="leave out what made the samples; then they cannot be replayed")
def command(count: int, index: tuple[int, ...], label: tuple[str, ...], prompt: tuple[str, ...],
            negative_prompt: str | None, columns: int | None, out: Path | None,
            no_metadata: bool, **options: Any) -> None:  # fmt: skip
    """Make new samples with RUN, a folder that `reverie train` made or the name of a shipped model.

    Each says what made it (`reverie info FILE`) and can be made again (`reverie replay FILE`).
    """
    system: Any = opened(options["run"], options["weights"], options["average"], options["adapter"])
    name = name_of(options["run"])
    if out is not None and out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    if count < 1:
        raise ReverieError(f"ask for one sample or more, not {count}")
    asked = asked_for(system, label, prompt)
    if negative_prompt is not None:
        options["guidance"] = (avoiding(negative_prompt, system, options), *options["guidance"])
        options["scale"] = None
    rows = list(index) or list(range(count))
    out = out or fresh(Path("samples"), f"{name}-seed{options['seed']}")
    first: list[dict[str, Any]] = []
    shown: list[torch.Tensor] = []
    keep_freed()
    with files.staged(out) as stage, bar("sampling") as progress, noting(stage, not no_metadata) as note:
        task = progress.add_task("", total=1.0)
        for part in system.batches(index=rows, condition=asked, **chosen(options),
                                   progress=lambda done, total: progress.update(task, completed=done / total)):  # fmt: skip
            for one, record in zip(part.raw, records(system, name, part), strict=True):
                about = {} if no_metadata else {KEY: record}
                (path,) = system.modality.save(one[None], stage, start=record["index"], info=about)
                note({"file": path.name, **record})
                if len(first) < SHOWN:
                    first.append({"index": record["index"], "condition": record["condition"]})
            shown += list(part.raw[: max(0, SHOWN - len(shown))])
            common = made_by(system, name, part.info, made="grid")
        picture = system.modality.show(torch.stack(shown), columns or grid_columns(system, len(shown)))
        common["samples"] = first
        write_picture(picture, stage / "grid.png", {} if no_metadata else {KEY: common})
    if (options["sample_steps"] or FEW) < FEW and options["start"] == "noise" and getattr(system, "gaussians", None):
        click.echo("so few steps do more with --start gaussian: this model has the Gaussians of its data", err=True)
    click.echo(f"{len(rows)} samples in {out}; all of them at a glance: {out / 'grid.png'}")


def asked_for(system: Any, labels: tuple[str, ...], prompts: tuple[str, ...]) -> Any:
    """What `generate` takes as the condition. Raises ReverieError where the model takes no such."""
    reads = "prompt" in system.conditioner.keys
    if prompts and labels:
        raise ReverieError("a model takes labels or prompts, not both: leave one out")
    if prompts and not reads:
        known = ", ".join(system.conditioner.keys) or "nothing"
        raise ReverieError(f"this model reads no text; it takes {known}: leave out the prompt")
    if labels and reads:
        raise ReverieError(f"this model reads text: say --prompt {labels[0]!r}")
    if reads and not prompts:
        raise ReverieError("this model makes pictures of what it is told: say --prompt 'a red heart'")
    return list(prompts) if prompts else condition(labels)


def avoiding(text: str, system: Any, options: dict[str, Any]) -> Any:
    """The guidance that leads away from a prompt. Raises ReverieError where the model reads no text, or is not guided."""
    if "prompt" not in system.conditioner.keys:
        raise ReverieError("this model reads no text: leave out the negative prompt")
    scale = system.defaults.scale if options["scale"] is None else options["scale"]
    if scale == 1:
        raise ReverieError("scale 1 is no guidance, away from a prompt or anything: say a --scale above 1")
    return plan("guidance", guidance, Guidance, {"name": "Extrapolated", "scale": scale, "weak": text})  # type: ignore[type-abstract]


def noting(stage: Path, wanted: bool) -> AbstractContextManager[Callable[[Any], None]]:
    """What adds a record to the list beside the samples, where one is wanted."""
    return files.json_list(stage / BESIDE) if wanted else nullcontext(lambda record: None)


def grid_columns(system: Any, count: int) -> int | None:
    classes = len(getattr(system.conditioner, "classes", ()))
    return classes if 1 < classes <= 12 and count >= classes else None


def fresh(root: Path, stem: str) -> Path:
    return next(p for i in range(1, 10**6) if not (p := root / (stem if i == 1 else f"{stem}-{i}")).exists())
