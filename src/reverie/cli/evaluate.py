"""reverie evaluate."""

from pathlib import Path
from typing import Any

import click

from .. import files
from ..errors import ReverieError
from ..recipes.card import tell
from ..recipes.evaluating import Evaluation, data_of, evaluate_autoencoder, evaluate_run
from ..systems.autoencoding import Autoencoding
from ..training.memory import keep_freed
from .sampling import START, bar, chosen, name_of, opened, sampling_options


@click.command("evaluate")
@sampling_options
@START
@click.option("-n", "--count", type=int, default=1000, show_default=True, help="samples to make and measure")
@click.option("--metric", multiple=True, help="frechet, kernel, nll, ...; all that apply by default")
@click.option("--extractor", help="of features: pixels, classifier, efficientnet_lite0, inception; chosen by the data")
@click.option("--ladder", is_flag=True, help="also measure real data, untouched and slightly spoiled, to compare with")
@click.option("--data", type=click.Path(), help="where the data of the run are now")
@click.option("--out", type=click.Path(path_type=Path), help="the result file; beside the run by default")
def command(count: int, metric: tuple[str, ...], extractor: str | None, ladder: bool, data: str | None, out: Path | None,
            **options: Any) -> None:  # fmt: skip
    """Measure samples of RUN against real data that it was not trained on."""
    run, seed = options["run"], options["seed"]
    if out is not None and out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    system: Any = opened(run, options["weights"], options["average"], options["adapter"])
    real, notes = data_of(run, data)
    keep_freed()
    if isinstance(system, Autoencoding):
        if metric or extractor:
            raise ReverieError(
                "an autoencoder is measured by what becomes of pictures: leave out --metric and --extractor"
            )
        said(evaluate_autoencoder(system, real, n=count, model=name_of(run), notes=notes), run, count, 0, out)
        return
    with bar("sampling") as progress:
        task = progress.add_task("", total=1.0)
        found = evaluate_run(
            system, real, n=count, names=metric, extractor=extractor, rungs=ladder, notes=notes, model=name_of(run),
            progress=lambda done, total: progress.update(task, completed=done / total), **chosen(options),
        )  # fmt: skip
    said(found, run, count, seed, out)


def said(found: Evaluation, run: str, count: int, seed: int, out: Path | None) -> None:
    """Shows the figures, and writes them into a file and the run's card."""
    for line in table(found):
        click.echo(line)
    beside = out is None and Path(run).is_dir()
    out = out or unused(Path(run) if Path(run).is_dir() else Path(), f"{name_of(run)}-{count}-seed{seed}")
    files.write_json(out, found.as_dict())
    if beside:
        tell(Path(run), found.as_dict())
    click.echo(f"\nwritten to {out}")


def unused(folder: Path, stem: str) -> Path:
    folder = folder / "evaluations"
    return next(p for i in range(1, 10**6) if not (p := folder / f"{stem}{'' if i == 1 else f'-{i}'}.json").exists())


def table(found: Evaluation) -> list[str]:
    result, rungs = found.result, found.ladder
    eyes = f", features of {result.extractor['name']}" if result.extractor else ""
    measured = "samples" if "samples" in result.counts else "model"
    counts = ", ".join(f"{n:,} {what}" for what, n in result.counts.items())
    lines = [
        f"{counts}{eyes}",
        "",
        f"{'':<20}{measured:>18}" + "".join(f"{name:>12}" for name in rungs),
    ]
    for name, figure in result.figures.items():
        error = f" ± {figure.error:.2g}" if figure.error else ""
        beside = "".join(f"{rung[name]:>12.4g}" if name in rung.figures else f"{'':>12}" for rung in rungs.values())
        lines.append(f"{name:<20}{f'{figure.value:.4g}{error}':>18}{beside}   {figure.better} is better")
    lines += [f"assumed: {assumption}" for assumption in result.assumptions]
    return lines + [f"warning: {warning}" for warning in result.warnings]
