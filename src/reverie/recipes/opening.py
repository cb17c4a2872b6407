"""Pictures by where they lie, or by the name of a built-in set."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..data import builtin
from ..data.base import Dataset
from ..data.builtin import emoji, faces
from ..data.sources import pieces, present
from ..discover import discover
from ..errors import ReverieError
from ..modalities.images import Images

DRAWN: dict[str, Callable[[int], Dataset]] = {"emoji": partial(emoji.pictures, "google"), "faces": faces.pictures}
"""Built-in sets that have several sizes."""


def folder_of_pictures(place: str, size: int | None = None) -> Dataset:
    """A folder of pictures, or shards of them. Raises ReverieError where it is neither."""
    if not place or not present(place) or (Path(place).is_file() and not pieces(place)):
        raise ReverieError(f"{place or 'no folder'} is not a folder of pictures: reverie train FOLDER")
    return Images().load(Path(place), **({"size": size} if size else {}))


def pictures(place: str, size: int | None = None) -> Dataset:
    """The same, or a built-in set, emoji and faces at 16, 32 or 64 pixels. Raises ReverieError."""
    known = {name.lower() for name in discover(builtin, builtin.Builtin)}  # type: ignore[type-abstract]
    if place in DRAWN and size and not present(place):
        return DRAWN[place](size)
    if place.replace("_", "") in known and not present(place):
        if size:
            raise ReverieError(f"the pictures of {place} have one size: leave out --size")
        return builtin.load(place)
    return folder_of_pictures(place, size)
