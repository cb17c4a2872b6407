"""Doing a recorded recipe once more, in a new folder."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

from .. import __version__, discover, files, recipes
from ..errors import ReverieError, unknown
from .base import Recipe
from .generation import Generation
from .running import train_run
from .screen import say

MOST_THREADS = 1024
PARTS = ("options", "chosen", "data", "versions")


def repeat(path: Path, out: Path | None = None, data: str | None = None) -> Path:
    """Does the recipe.json of a run again, with all that was chosen then, and returns the new run's folder.

    The data are the built-in set, `data`, or where the old run found them. Same machine and versions: same bytes. Raises
    ReverieError where the file is no recipe of ours, and where the data are not those of the recipe.
    """
    settled = files.read_json(path, limit=2**20)
    if not isinstance(settled, dict) or not all(isinstance(settled.get(key), dict) for key in PARTS):
        raise ReverieError(f"{path} is no recipe of a run: those lie in a run folder as recipe.json")
    recipe = read(settled, str(path), place_of(settled, path, data))
    for what, now in (("reverie", __version__), ("torch", torch.__version__)):
        if (then := settled["versions"].get(what)) != now:
            say(f"{what} is {now} here and was {str(then)[:40]!r} then: the bytes may differ")
    return train_run(recipe, out, False, before=settled)


def read(settled: dict[str, Any], source: str, place: str) -> Generation:
    """The recipe, nothing left open, of plain data that may be hostile; what was chosen is checked too."""
    cls, options = kind_of(settled), settled["options"]
    known = {field.name for field in fields(cls) if field.name != "data"}
    for key in options:
        if key not in known:
            raise unknown("option in recipe.json", key, known)
    for key in ("network", "samples", "dtype"):
        if options.get(key) is None:
            raise ReverieError(f"{source} leaves {key} open: it was not written by a run")
    hints = get_type_hints(cls)
    for key, value in options.items():
        kinds = get_args(hints[key]) or (hints[key],)
        fits = (*kinds, *([int] if float in kinds else []))
        if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, fits):
            names = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            raise ReverieError(f"{source}: {key} must be {names}, not {str(value)[:40]!r}")
    try:
        recipe = cls(**options, data=place)  # type: ignore[call-arg]
        recipe.checked()
    except TypeError as error:
        raise ReverieError(f"{source} cannot be done: {error}") from None
    check_chosen(settled["chosen"], recipe.batch, source)
    return recipe


def check_chosen(chosen: dict[str, Any], batch: int, source: str) -> None:
    """Raises ReverieError where what a run chose could not have been chosen."""
    for key in chosen:
        if key not in ("threads", "smaller"):
            raise unknown("choice in recipe.json", key, ("threads", "smaller"))
    threads, smaller = chosen.get("threads"), chosen.get("smaller", [])
    if type(threads) is not int or not 1 <= threads <= MOST_THREADS:
        raise ReverieError(f"{source}: threads must be a whole number from 1 to {MOST_THREADS}")
    if not isinstance(smaller, list) or not all(
        isinstance(mark, list)
        and [type(n) for n in mark] == [int, int]
        and mark[0] >= 0 < mark[1]
        and not batch % mark[1]
        for mark in smaller
    ):
        raise ReverieError(f"{source}: smaller must list [samples seen, micro-batch], of parts of a batch of {batch}")


def kind_of(settled: dict[str, Any]) -> type[Generation]:
    cls = discover.lookup("recipe", recipes, Recipe, str(settled.get("recipe")))
    if not issubclass(cls, Generation):
        raise ReverieError(f"the recipe {cls.__name__} trains no model")
    return cls


def place_of(settled: dict[str, Any], path: Path, data: str | None) -> str:
    """Where the data of a recipe lie, empty for a built-in set."""
    default = kind_of(settled).data
    if data and default:
        raise ReverieError(f"this recipe is about the built-in set {default}: leave out --data")
    local = path.parent / "local.json"
    told = files.read_json(local) if local.is_file() else {}
    place = data or default or (told.get("data") if isinstance(told, dict) else None)
    if not isinstance(place, str) or not place:
        raise ReverieError(f"where the data of {path} lie is not known here: give --data PATH")
    return place
