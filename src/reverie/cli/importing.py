"""reverie import."""

from pathlib import Path

import click

from ..errors import printable


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="the run folder to write; FOLDER-run unless told otherwise"
)
def command(folder: Path, out: Path | None) -> None:
    """Make a run of FOLDER, a model in diffusers' layout: model_index.json, a folder for each part, safetensors.

    Every setting of its network and its scheduler is honoured, or refused by name. No code of it is run, and weights that
    are pickles are not opened.
    """
    from ..hub import import_folder

    out = out or folder.absolute().with_name(f"{folder.absolute().name}-run")
    system = import_folder(folder, out)
    shape, size = "x".join(map(str, system.raw_shape)), sum(p.numel() for p in system.network.parameters())
    click.echo(printable(f"{out}: samples of {shape}, {size:,} parameters"))
    click.echo(printable(f"{system.denoiser.schedule}, {system.denoiser.parameterization}, {system.defaults.sampler} on "
                         f"{system.defaults.grid}"))  # fmt: skip
    click.echo(f"Make samples with: reverie sample {out}")
