"""reverie export."""

from pathlib import Path
from typing import Any

import click

from ..systems.base import load


@click.command("export")
@click.argument("run")
@click.option(
    "--to", type=click.Choice(["diffusers"]), default="diffusers", show_default=True, help="whose layout it is"
)
@click.option("--weights", default="ema", show_default=True, help="ema or raw")
@click.argument("folder", type=click.Path(path_type=Path))
def command(run: str, to: str, weights: str, folder: Path) -> None:
    """Write RUN to FOLDER as DDPMPipeline.from_pretrained(FOLDER) reads it, or say what stands in the way."""
    from ..hub import export_folder

    system: Any = load(run, weights)
    export_folder(system, folder)
    if system.defaults.weak:
        click.echo(
            "its guidance by its own early self is not a part of DDPMPipeline: the pictures are those of --scale 1"
        )
    click.echo(f"{folder}: DDPMPipeline.from_pretrained({str(folder)!r}) reads it")
