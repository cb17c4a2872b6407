"""reverie pull."""

from pathlib import Path

import click


@click.command("pull")
@click.argument("name")
@click.option("--revision", required=True, help="a commit, by its 40 digits: what is fetched is then always the same")
@click.option(
    "--out", type=click.Path(path_type=Path), help="the folder to write; the name's second half unless told otherwise"
)
def command(name: str, revision: str, out: Path | None) -> None:
    """Fetch NAME, owner/name on the Hugging Face hub: a run, or a model in diffusers' layout; safetensors and JSON alone."""
    from ..hub.sharing import pull

    folder = pull(name, revision, out or Path(name.split("/")[-1]))
    more = "reverie import" if (folder / "model_index.json").is_file() else "reverie sample"
    click.echo(f"{name} is in {folder}. Go on with: {more} {folder}")
