"""reverie sample."""

from pathlib import Path
from typing import Any

import click
import torch

from .. import files
from ..errors import ReverieError
from ..modalities.grids import write_picture
from ..systems.records import BESIDE, KEY, made_by, records
from .sampling import bar, chosen, condition, name_of, opened, sampling_options

SHOWN = 400
"""Samples in the grid, at most."""


@click.command("sample")
@sampling_options
@click.option("-n", "--count", type=int, default=16, show_default=True, help="how many")
@click.option("--index", type=int, multiple=True, help="make sample number INDEX of the seed alone; may be repeated")
@click.option("--label", multiple=True, help="a class by name or number, or none; several are taken in turn")
@click.option("--columns", type=int, help="of the grid")
@click.option("--out", type=click.Path(path_type=Path), help="a folder that does not exist yet")
@click.option("--no-metadata", is_flag=True, help="leave out what made the samples; then they cannot be replayed")
def command(count: int, index: tuple[int, ...], label: tuple[str, ...], columns: int | None, out: Path | None,
            no_metadata: bool, **options: Any) -> None:  # fmt: skip
    """Make new samples with RUN, a folder that `reverie train` made or the name of a shipped model.

    Each says what made it (`reverie info FILE`) and can be made again (`reverie replay FILE`).
    """
    system: Any = opened(options["run"], options["weights"], options["average"])
    name = name_of(options["run"])
    if out is not None and out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    if count < 1:
        raise ReverieError(f"ask for one sample or more, not {count}")
    rows = list(index) or list(range(count))
    out = out or fresh(Path("samples"), f"{name}-seed{options['seed']}")
    made: list[dict[str, Any]] = []
    shown: list[torch.Tensor] = []
    with files.staged(out) as stage, bar("sampling") as progress:
        task = progress.add_task("", total=1.0)
        for part in system.batches(index=rows, condition=condition(label), **chosen(options),
                                   progress=lambda done, total: progress.update(task, completed=done / total)):  # fmt: skip
            for one, record in zip(part.raw, records(system, name, part), strict=True):
                about = {} if no_metadata else {KEY: record}
                (path,) = system.modality.save(one[None], stage, start=record["index"], info=about)
                made.append({"file": path.name, **record})
            shown += list(part.raw[: max(0, SHOWN - len(shown))])
            common = made_by(system, name, part.info, made="grid")
        picture = system.modality.show(torch.stack(shown), columns or grid_columns(system, len(shown)))
        common["samples"] = [{"index": one["index"], "condition": one["condition"]} for one in made[:SHOWN]]
        write_picture(picture, stage / "grid.png", {} if no_metadata else {KEY: common})
        if not no_metadata:
            files.write_json(stage / BESIDE, made)
    click.echo(f"{len(rows)} samples in {out}; all of them at a glance: {out / 'grid.png'}")


def grid_columns(system: Any, count: int) -> int | None:
    classes = len(getattr(system.conditioner, "classes", ()))
    return classes if 1 < classes <= 12 and count >= classes else None


def fresh(root: Path, stem: str) -> Path:
    return next(p for i in range(1, 10**6) if not (p := root / (stem if i == 1 else f"{stem}-{i}")).exists())
