"""Doing a recorded recipe once more, in a new folder."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

from .. import __version__, discover, recipes
from ..errors import ReverieError, unknown
from ..reading import SMALL, read_json, read_object
from . import starting
from .base import PLACES, Recipe
from .latents import require
from .learning import Training
from .running import train_run
from .screen import say

MOST_THREADS = 1024
MOST_ANY = 2**53
MOST = {
    "seed": 2**63,
    "batch": 2**20,
    "micro_batch": 2**20,
    "checkpoints": 2**20,
    "snapshots": 2**20,
    "sample_steps": 10_000,
    "size": 4096,
    "minutes": 1e7,
}
"""The largest that an option may be in a recipe that is not one's own; of others, what is exact as a number."""
PARTS = ("options", "chosen", "data", "versions")


def repeat(
    path: Path, out: Path | None = None, data: str | None = None, source: str | None = None, codec: str | None = None
) -> Path:  # fmt: skip
    """Does the recipe.json of a run again, with all that was chosen then, and returns the new run's folder.

    The data are the built-in set, `data`, or where the old run found them; what it starts from, if from another run, is
    `source`, or found likewise. Same machine and versions: same bytes. Raises ReverieError where the file is no recipe of
    ours, and where the data or the weights to start from are not those of the recipe.
    """
    recipe: Any
    recipe, settled = recorded(path, data)
    if codec and "codec" not in settled:
        raise ReverieError("this recipe works in no latents: leave out --codec")
    if codec:
        recipe = replace(recipe, codec=codec)
    if "codec" in settled:
        require(recipe.codec, settled["codec"], str(path))
    if source and "from" not in settled:
        raise ReverieError("this recipe starts from no other run: leave out --from")
    if "from" in settled:
        recipe = replace(recipe, source=starting.place_of(settled["from"], source, recipe.source))
    for what, now in (("reverie", __version__), ("torch", torch.__version__)):
        if (then := settled["versions"].get(what)) != now:
            say(f"{what} is {now} here and was {str(then)[:40]!r} then: the bytes may differ")
    return train_run(recipe, out, False, before=settled)


def recorded(path: Path, data: str | None = None) -> tuple[Training, dict[str, Any]]:
    """The recipe in a recipe.json that may be hostile, and all that the file says. Raises ReverieError."""
    settled = read_json(path, SMALL)
    if not isinstance(settled, dict) or not all(isinstance(settled.get(key), dict) for key in PARTS):
        raise ReverieError(f"{path} is no recipe of a run: those lie in a run folder as recipe.json")
    recipe: Any = read(settled, str(path), place_of(settled, path, data))
    if "from" in settled:
        starting.checked(settled["from"], str(path))
    for told, option in (("from", "source"), ("codec", "codec")):
        place = local_of(path).get(told)
        if told in settled and isinstance(place, str) and len(place) < 4096 and hasattr(recipe, option):
            recipe = replace(recipe, **{option: place})
    return recipe, settled


def read(settled: dict[str, Any], source: str, place: str) -> Training:
    """The recipe, nothing left open, of plain data that may be hostile; what was chosen is checked too."""
    cls, options = kind_of(settled), settled["options"]
    known = {field.name for field in fields(cls) if field.name not in PLACES}
    for key in options:
        if key not in known:
            raise unknown("option in recipe.json", key, known)
    for key in ("network", "samples", "dtype", "schedule", "parameterization", "learning_rate"):
        if key in known and options.get(key) is None:
            raise ReverieError(f"{source} leaves {key} open: it was not written by a run")
    hints = get_type_hints(cls)
    for key, value in options.items():
        kinds = get_args(hints[key]) or (hints[key],)
        fits = (*kinds, *([int] if float in kinds else []))
        if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, fits):
            names = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            raise ReverieError(f"{source}: {key} must be {names}, not {str(value)[:40]!r}")
        if isinstance(value, (int, float)) and abs(value) > MOST.get(key, MOST_ANY):
            raise ReverieError(f"{source}: {key} is {value:.4g}, more than any run needs")
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


def kind_of(settled: dict[str, Any]) -> type[Training]:
    cls = discover.lookup("recipe", recipes, Recipe, str(settled.get("recipe")))
    if not issubclass(cls, Training):
        raise ReverieError(f"the recipe {cls.__name__} trains no model")
    return cls


def local_of(path: Path) -> dict[str, Any]:
    """What local.json beside a recipe.json says of this machine."""
    local = path.parent / "local.json"
    return read_object(local) if local.is_file() else {}


def place_of(settled: dict[str, Any], path: Path, data: str | None) -> str:
    """Where the data of a recipe lie, empty for a built-in set."""
    default = kind_of(settled).data
    if data and default:
        raise ReverieError(f"this recipe is about the built-in set {default}: leave out --data")
    place = data or default or local_of(path).get("data")
    if not isinstance(place, str) or not 0 < len(place) < 4096:
        raise ReverieError(f"where the data of {path} lie is not known here: give --data PATH")
    return place
