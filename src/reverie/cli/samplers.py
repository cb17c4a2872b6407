"""reverie samplers."""

import inspect

import click

from .. import discover, samplers
from ..samplers.base import Sampler


@click.command("samplers")
def command() -> None:
    """List what --sampler knows by name, with the order of convergence, options, and what it is."""
    for name, cls in discover.discover(samplers, Sampler).items():
        default = cls()
        options = repr(default)[len(name) + 1 : -1]
        kind = f"order {default.order}, {'stochastic' if default.stochastic else 'deterministic'}"
        click.echo(f"{name.lower():<12} {kind:<24} {(inspect.getdoc(cls) or '').splitlines()[0]}")
        if options:
            click.echo(f"{'':<12} {'':<24} options: {options}")
