"""reverie import."""

from pathlib import Path

import click

from ..errors import ReverieError, printable


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--like", type=click.Path(path_type=Path), help="of one file: a folder of its version, for settings and tokenizers"
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="the run folder to write; FOLDER-run unless told otherwise"
)
def command(folder: Path, like: Path | None, out: Path | None) -> None:
    """Make a run of FOLDER, a model in diffusers' layout: model_index.json, a folder for each part, safetensors. Of one FILE
    in the original layout of Stable Diffusion too, with --like a folder of the same version, whose weights are not read.

    Every setting of its network and its scheduler is honoured, or refused by name. No code of it is run, and weights that
    are pickles are not opened.
    """
    from ..hub import import_folder
    from ..hub.single import import_file

    out = out or folder.absolute().with_name(
        f"{folder.absolute().stem if folder.is_file() else folder.absolute().name}-run"
    )
    if folder.is_file() and like is None:
        raise ReverieError(
            f"{folder} has weights alone: say --like FOLDER, a folder in diffusers' layout of the same version"
        )
    if like is not None and not folder.is_file():
        raise ReverieError(f"{folder} is no file: --like is about a checkpoint in one file")
    system = import_folder(folder, out) if like is None else import_file(folder, like, out)
    shape, size = "x".join(map(str, system.raw_shape)), sum(p.numel() for p in system.network.parameters())
    click.echo(printable(f"{out}: samples of {shape}, {size:,} parameters"))
    click.echo(printable(f"{system.denoiser.schedule}, {system.denoiser.parameterization}, {system.defaults.sampler} on "
                         f"{system.defaults.grid}"))  # fmt: skip
    click.echo(f"Make samples with: reverie sample {out}")
