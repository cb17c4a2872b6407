"""What a recipe is."""

import abc
from dataclasses import field
from pathlib import Path
from typing import Any


class Recipe(abc.ABC):
    """A frozen dataclass whose fields are options, each with its help; `run` does it and returns the run's folder."""

    data: str
    """The built-in set, the file or the folder that it is about."""

    @abc.abstractmethod
    def run(self, out: Path | None = None, resume: bool = False) -> Path: ...


PLACES = ("data", "source", "codec")
"""Options that are places on this machine: recipe.json does not hold them."""


def option(default: Any, help: str, flag: str = "") -> Any:
    """A field with a word for the command line; its option has the field's name unless `flag` says another."""
    return field(default=default, metadata={"help": help, **({"flag": flag} if flag else {})})
