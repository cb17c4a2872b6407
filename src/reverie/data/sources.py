"""Where pictures may lie: in a folder, in tar archives, in tables; each says what it holds before any is decoded."""

import abc
import glob
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import ReverieError
from . import captions
from .captions import Said
from .fields import kind_of
from .listing import PARTS, PICTURES, Listing, listing
from .opening import opened

ARCHIVES, TABLES = (".tar",), (".parquet", ".arrow")


class Source(abc.ABC):
    """Pictures by name in a fixed order, what is said about them, and their contents, as often as they are asked for."""

    place: Path
    """What it is called by."""
    listed: Listing
    said: Said

    @abc.abstractmethod
    def contents(self) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
        """(name, what opens it or raises Unusable) of each that may be a picture, in order; opened from any thread."""

    @abc.abstractmethod
    def files(self) -> list[Path]:
        """All files that it was made of."""


class Pictures(Source):
    """The files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.place, self.listed = folder, listing(folder)
        self.said = captions.read(folder, self.listed.found, PICTURES)

    def contents(self):
        root = os.path.join(self.place, "")
        for name in self.listed.found:
            if name not in self.said.files:
                yield name, lambda path=root + name: opened(path)

    def files(self):
        return [self.place / name for name in self.listed.found]


def present(path: str | Path) -> bool:
    """Whether a path, or a pattern such as shards/*.tar, names something that is there."""
    return Path(path).exists() or bool(_matching(Path(path)))


def pieces(path: str | Path) -> list[Path]:
    """The archives or the tables that a file, a folder or a pattern names, sorted; none where it names neither.

    A folder with pictures is one of pictures, whatever lies beside them. Raises ReverieError where what is found is of
    two kinds, or parts of a set that must not be mixed.
    """
    path = Path(path)
    if path.is_dir():
        if (path / "dataset_dict.json").is_file():
            raise ReverieError(f"{path} holds the parts of a set: name one of its subfolders instead")
        found = [one for one in sorted(path.iterdir()) if not one.name.startswith((".", "cache-"))]
    else:
        found = [path] if path.is_file() else _matching(path)
    found = [one for one in found if one.suffix.lower() in (*ARCHIVES, *TABLES) and one.is_file()]
    if found and path.is_dir() and kind_of(path) == "pictures":
        return []
    if len({one.suffix.lower() for one in found}) > 1:
        raise ReverieError(f"{path} holds archives or tables of several kinds: name those of one, as in '{path}/*.tar'")
    parts = {re.split(r"[^a-z]", one.name.lower())[0] for one in found} & PARTS
    if len(parts) > 1:
        one, ending = sorted(parts)[0], found[0].suffix
        raise ReverieError(f"{path} holds several parts of a set, {', '.join(sorted(parts))}: name one of them, as in "
                           f"'{path if path.is_dir() else path.parent}/{one}*{ending}'")  # fmt: skip
    return found


def source_of(path: str | Path, found: list[Path]) -> Source:
    """Of the archives or tables found at a path."""
    path = Path(path)
    place = path if path.is_dir() else path.with_suffix("") if path.is_file() else path.parent
    if found[0].suffix.lower() in ARCHIVES:
        from .shards import Shards

        return Shards(place, found)
    from .tables import Tables

    return Tables(place, found)


def _matching(pattern: Path) -> list[Path]:
    text = str(pattern)
    return sorted(map(Path, glob.glob(text))) if glob.has_magic(text) else []
