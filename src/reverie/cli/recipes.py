"""reverie recipes."""

import inspect

import click

from .. import discover, recipes
from ..recipes.base import Recipe
from .train import spoken


@click.command("recipes")
def command() -> None:
    """List what `reverie train` knows by name; `reverie train NAME --help` lists the options of one."""
    for name, cls in discover.discover(recipes, Recipe).items():
        click.echo(f"{spoken(name):<16} {(inspect.getdoc(cls) or '').splitlines()[0]}")
    for file, install in discover.missing(recipes).items():
        click.echo(f"{file:<16} needs: {install}")
