"""reverie samplers."""

import inspect
import re
import textwrap

import click

from .. import discover, samplers
from ..samplers.base import Sampler
from ..samplers.jumps import Jumps


@click.command("samplers")
def command() -> None:
    """List what --sampler knows by name: order, evaluations a step, options, what it is, and its papers."""
    known = discover.discover(samplers, Sampler) | discover.discover(samplers, Jumps)
    for name, cls in sorted(known.items()):
        default = cls()
        kind = f"order {default.order}" if isinstance(default, Sampler) else "takes a flow map"
        text = inspect.getdoc(cls) or ""
        cost = default.evaluations or "as many as it needs"
        click.echo(f"{name.lower():<16} {text.splitlines()[0] if text else ''}")
        facts = [
            f"{kind}, {'stochastic' if default.stochastic else 'deterministic'}; evaluations: {cost}",
            f"options: {repr(default)[len(name) + 1 : -1]}" if repr(default)[len(name) + 1 : -1] else "",
            " ".join(dict.fromkeys(re.findall(r"https?://[^\s,;)]+", text))),
        ]
        for fact in filter(None, facts):
            click.echo(textwrap.indent(fact, " " * 17))
