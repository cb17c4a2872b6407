"""The files below a folder, in sorted order, and the classes that its subfolders make."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import ReverieError
from .base import Skipped

PARTS = {"train", "training", "test", "val", "valid", "validation"}
"""Names of folders that are parts of a set and not classes of it."""


def listing(folder: Path) -> tuple[list[str], list[Skipped]]:
    """The files below a folder as sorted names with "/" between, and what was passed over.

    Hidden files are not looked at. Links to folders are never followed, so that no loop can be walked.
    Raises ReverieError where the folder cannot be read.
    """
    found: list[str] = []
    skipped: list[Skipped] = []

    def unreadable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise ReverieError(f"{folder} cannot be read: {error.strerror}")
        skipped.append(Skipped(_name(folder, error.filename), f"a folder that cannot be read: {error.strerror}"))

    for here, below, names in os.walk(folder, onerror=unreadable):
        below[:] = [name for name in below if not name.startswith(".")]
        links = [path for path in (os.path.join(here, name) for name in below) if os.path.islink(path)]
        skipped += [Skipped(_name(folder, path), "a link to a folder") for path in links]
        found += [_name(folder, os.path.join(here, name)) for name in names if not name.startswith(".")]
    return sorted(found), sorted(skipped, key=lambda one: one.name)


def endings(folder: Path) -> Counter[str]:
    """How many files below a folder end in .png, in .npy, ... in lower case."""
    return Counter(os.path.splitext(name)[1].lower() for name in listing(Path(folder))[0])


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


def _name(folder: Path, path: str) -> str:
    return Path(path).relative_to(folder).as_posix()
