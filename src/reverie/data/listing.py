"""The files below a folder, in sorted order, and the classes that its subfolders make."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import ReverieError
from .base import Skipped

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TIFFS = (".tif", ".tiff")
PARTS = {"train", "training", "test", "val", "valid", "validation"}
"""Names of folders that are parts of a set and not classes of it."""


class Listing(NamedTuple):
    """Sorted names with "/" between, what was passed over, and how many of the files are links that lead outside."""

    found: list[str]
    skipped: list[Skipped]
    outside: int


def listing(folder: Path) -> Listing:
    """The files below a folder, each seen once.

    Hidden files are not looked at. Links to folders are never followed, so that no loop can be walked; links to files
    are files. Raises ReverieError where the folder cannot be read.
    """
    found: list[str] = []
    skipped: list[Skipped] = []
    links: list[str] = []
    root, left = os.fspath(folder), [""]
    while left:
        here = left.pop()
        try:
            with os.scandir(os.path.join(root, here)) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    name = f"{here}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        left.append(f"{name}/")
                    elif not entry.is_symlink():
                        found.append(name)
                    elif os.path.isdir(entry.path):
                        skipped.append(Skipped(name, "a link to a folder"))
                    else:
                        found.append(name)
                        links.append(entry.path)
        except OSError as error:
            if not here:
                raise ReverieError(f"{folder} cannot be read: {error.strerror}") from None
            skipped.append(Skipped(here[:-1], f"a folder that cannot be read: {error.strerror}"))
    return Listing(sorted(found), sorted(skipped, key=lambda one: one.name), _outside(root, links))


def _outside(root: str, links: Sequence[str]) -> int:
    inside = os.path.join(os.path.realpath(root), "")
    return sum(os.path.isfile(link) and not os.path.realpath(link).startswith(inside) for link in links)


def endings(folder: Path) -> Counter[str]:
    """How many files below a folder end in .png, in .npy, ... in lower case."""
    return Counter(os.path.splitext(name)[1].lower() for name in listing(Path(folder)).found)


def classes_of(names: Sequence[str]) -> tuple[tuple[str, ...], list[int], list[str]]:
    """(classes, the index of each file's class, notes): the class is the first-level subfolder.

    There are no classes where files lie in the folder itself or in fewer than two subfolders. Raises ReverieError for
    subfolders train, test, ...: those are parts of a set, and a model of them as classes would be nonsense.
    """
    tops = [name.split("/", 1)[0] if "/" in name else "" for name in names]
    classes = tuple(sorted(set(tops)))
    if len(classes) > 1 and {top.lower() for top in classes} <= PARTS:
        raise ReverieError(f"subfolders {', '.join(classes)} are parts of a set, not classes: name one of them instead")
    if "" in classes and len(classes) > 1:
        loose = tops.count("")
        return (), [], [f"no classes: {loose} of {len(names)} files lie beside the subfolders and not in one"]
    if len(classes) < 2:
        return (), [], []
    index = {name: i for i, name in enumerate(classes)}
    return tuple(name.encode(errors="backslashreplace").decode() for name in classes), [index[top] for top in tops], []
