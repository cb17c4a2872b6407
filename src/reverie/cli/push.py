"""reverie push."""

from pathlib import Path

import click

from ..errors import ReverieError


@click.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--public", is_flag=True, help="for everybody to see; only yours unless told so")
@click.option("--dry-run", is_flag=True, help="only list what would be sent")
def command(run: Path, name: str, public: bool, dry_run: bool) -> None:
    """Send RUN to the Hugging Face hub as NAME, owner/name: weights as safetensors, model.json, recipe, card and pictures.

    The card must state the licence of the data.
    """
    from ..hub.sharing import push

    if not run.is_dir():
        raise ReverieError(f"{run} is not a run: there is no such folder")
    listed, revision = push(run, name, private=not public, dry=dry_run)
    for one in listed:
        click.echo(f"{(run / one).stat().st_size:>12,} {one}")
    click.echo(
        f"nothing was sent: leave out --dry-run to send these to {name}"
        if dry_run
        else f"sent to {name}, revision {revision}"
    )
