"""reverie adapter."""

from pathlib import Path

import click

from ..errors import ReverieError, printable
from ..reading import read_bytes
from ..systems.base import open_run
from ..systems.diffusion import Diffusion

CARD = 2**20
"""Bytes of a model card."""


@click.group("adapter")
def command() -> None:
    """Add low-rank changes (LoRA) to a run, or write them for another tool. `reverie train adapt` learns them."""


@command.command("merge")
@click.argument("run")
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="the run folder to write; RUN-adapted unless told otherwise"
)
def merge(run: str, files: tuple[str, ...], out: Path | None) -> None:
    """Write a run with FILES in its weights, each FILE or FILE:SCALE: of ours, of diffusers or of kohya.

    Changes of text encoders are merged too, into copies of them.
    """
    from .. import files as written
    from ..hub.adapters import merge as merged
    from ..hub.adapters import read_adapter
    from .sampling import scaled

    system = opened(run)
    out = out or Path(run).absolute().with_name(f"{Path(run).absolute().name}-adapted")
    if out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    adapters = [(read_adapter(place, system), scale) for place, scale in map(scaled, files)]
    with written.staged(out) as stage:
        merged(system, adapters, stage)
        names = ", ".join(f"{Path(place).name} {scale:g} times" for place, scale in map(scaled, files))
        written.write_text(stage / "README.md", carded(run, out, f"Adapters in its weights: {printable(names)}."))
    click.echo(f"{out}: {len(adapters)} added. Make samples with: reverie sample {out}")


@command.command("convert")
@click.argument("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--to", "layout", type=click.Choice(["reverie", "diffusers", "kohya"]), required=True, help="whose names of layers"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="the file to write")
def convert(run: str, file: Path, layout: str, out: Path) -> None:
    """Write FILE, an adapter of RUN, under the names that another tool has for its layers."""
    from ..hub.adapters import read_adapter, write_adapter

    if out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    system = opened(run)
    adapter = read_adapter(file, system)
    write_adapter(out, adapter, system, layout)
    click.echo(f"{out}: {layout}, rank {adapter.rank}, {len(adapter.network)} layers of the network"
               + (f", {sum(map(len, adapter.encoders.values()))} of text encoders" if adapter.encoders else ""))  # fmt: skip


@command.command("word")
@click.argument("run")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="the word, such as '<my cat>', where the file does not say it")
@click.option(
    "--out", type=click.Path(path_type=Path), help="the run folder to write; RUN-worded unless told otherwise"
)
def word(run: str, file: Path, name: str | None, out: Path | None) -> None:
    """Write a run whose text encoders know the word in FILE: textual inversion, of ours or of diffusers, safetensors."""
    from .. import files as written
    from ..hub.embeddings import learned, read_word

    system = opened(run)
    out = out or Path(run).absolute().with_name(f"{Path(run).absolute().name}-worded")
    if out.exists():
        raise ReverieError(f"{out} exists: choose another --out")
    told, vectors = read_word(file, system, name)
    with written.staged(out) as stage:
        learned(system, told, vectors, stage)
        written.write_text(stage / "README.md", carded(run, out, f"Its text encoders know {told}."))
    click.echo(f"{out} knows {told}: reverie sample {out} --prompt 'a photo of {told}'")


def carded(run: str, out: Path, more: str) -> str:
    """The card of a run, and a sentence more."""
    card = Path(run) / "README.md"
    before = read_bytes(card, CARD).decode(errors="replace") if card.is_file() else f"# {out.name}"
    return f"{before.rstrip()}\n\n{more}\n"


def opened(run: str) -> Diffusion:
    from ..recipes.starting import folder_of

    system = open_run(folder_of(run))
    if not isinstance(system, Diffusion):
        raise ReverieError(f"adapters are of diffusion models, and {run} is a {type(system).__name__}")
    return system
