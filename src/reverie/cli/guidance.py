"""reverie guidance."""

import inspect
import re
import textwrap

import click

from .. import discover, guidance
from ..discover import Plan
from ..guidance.base import Guidance


@click.command("guidance")
def command() -> None:
    """List what --guidance knows by name: space, neutral value, options, what it is built around, and its papers."""
    for name, cls in discover.discover(guidance, Guidance).items():  # type: ignore[type-abstract]
        text, options = inspect.getdoc(cls) or "", str(Plan(cls))[len(name) + 1 : -1]
        neutral = ", ".join(f"{key}={value}" for key, value in (cls.neutral or {}).items()) or "none"
        click.echo(f"{name.lower():<17} {text.splitlines()[0]}")
        facts = [
            f"of {cls.space}; changes nothing at: {neutral}; around: {', '.join(Plan(cls).parts)}",
            f"options: {options}" if options else "",
            " ".join(dict.fromkeys(re.findall(r"https?://[^\s,;)]+", text))),
        ]
        for fact in filter(None, facts):
            click.echo(textwrap.indent(fact, " " * 18))
