"""reverie sample."""

from pathlib import Path
from typing import Any

import click
import torch

from .. import __version__, files
from ..errors import ReverieError
from ..modalities.grids import write_picture
from .sampling import bar, chosen, condition, opened, sampling_options


@click.command("sample")
@sampling_options
@click.option("-n", "--count", type=int, default=16, show_default=True, help="how many")
@click.option("--index", type=int, multiple=True, help="make sample number INDEX of the seed alone; may be repeated")
@click.option("--label", multiple=True, help="a class by name or number, or none; several are taken in turn")
@click.option("--columns", type=int, help="of the grid")
@click.option("--out", type=click.Path(path_type=Path), help="a folder that does not exist yet")
def command(count: int, index: tuple[int, ...], label: tuple[str, ...], columns: int | None, out: Path | None,
            **options: Any) -> None:  # fmt: skip
    """Make new samples with RUN, a folder that `reverie train` made or the name of a shipped model."""
    system: Any = opened(options["run"], options["weights"], options["average"])
    name = Path(options["run"]).name
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
            info = about(system, name, part.info)
            each = [info | {"index": i} | {key: value[k].tolist() for key, value in part.values.items()}
                    for k, i in enumerate(part.index)]  # fmt: skip
            for one, entry in zip(part.raw, each, strict=True):
                system.modality.save(one[None], stage, start=entry["index"], info={"reverie": entry})
            made += each
            shown += list(part.raw[: max(0, 400 - len(shown))])
        picture = system.modality.show(torch.stack(shown), columns or grid_columns(system, len(shown)))
        write_picture(picture, stage / "grid.png")
        files.write_json(stage / "samples.json", made)
    click.echo(f"{len(rows)} samples in {out}; all of them at a glance: {out / 'grid.png'}")


def grid_columns(system: Any, count: int) -> int | None:
    classes = len(getattr(system.conditioner, "classes", ()))
    return classes if 1 < classes <= 12 and count >= classes else None


def about(system: Any, name: str, info: dict[str, Any]) -> dict[str, Any]:
    """What made a sample: enough to make it again, and nothing of this machine."""
    weights = {"name": system.about.get("weights"), "sha256": system.weights_hash}
    return {"model": name, "version": __version__, "weights": weights, **info}


def fresh(root: Path, stem: str) -> Path:
    return next(p for i in range(1, 10**6) if not (p := root / (stem if i == 1 else f"{stem}-{i}")).exists())
