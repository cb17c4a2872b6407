"""What a modality is, and which one a path belongs to."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .. import discover
from ..data.base import Dataset
from ..data.sources import present
from ..errors import ReverieError

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..core.spaces import Space

Info = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""What is written into each file that can hold it: one mapping for all samples, or one each."""


class Modality(abc.ABC):
    """How a kind of data is recognised, read, written and looked at. Concrete ones are frozen dataclasses.

    `extensions` are those of the files that it reads; what `save` writes is among them.
    """

    extensions: tuple[str, ...]
    written: tuple[str, ...]
    """The extensions of what `save` writes and `decode` reads."""

    @classmethod
    @abc.abstractmethod
    def claims(cls, path: Path) -> bool:
        """Whether `load` is the one to read this file or folder; it may still find nothing usable in it."""

    @abc.abstractmethod
    def load(self, path: Path, **options: Any) -> Dataset:
        """The samples below a path, in sorted order, with a report. Raises ReverieError where none is usable."""

    @abc.abstractmethod
    def save(self, raw: Tensor, folder: Path, stem: str = "", start: int = 0, info: Info = None) -> list[Path]:
        """Writes raw (B, C, *axes), a file a sample, numbered from `start`, each whole or not at all.

        Raises ReverieError, before the first file, where a sample is not finite or cannot be written as this kind.
        """

    @abc.abstractmethod
    def encode(self, sample: Tensor, info: Mapping[str, Any] = {}) -> bytes:
        """The file of one sample (C, *axes), as `save` writes it. Raises ReverieError."""

    @abc.abstractmethod
    def decode(self, path: Path) -> tuple[Tensor, dict[str, str]]:
        """One sample (C, *axes) of a file that `save` wrote, as `stored`, and the texts that the file carries.

        The file may be anybody's: it is bounded before it is decoded. Raises ReverieError where it is none of ours.
        """

    def stored(self, sample: Tensor) -> Tensor:
        """What a file keeps of a sample (C, *axes): all, but where numbers are written as whole ones."""
        return sample

    @abc.abstractmethod
    def show(self, raw: Tensor, columns: int | None = None) -> Image:
        """One RGB picture of raw (B, C, *axes), for eyes only."""

    def space(self) -> Space:
        """Where samples live: everywhere, for what has neither mask nor symmetry."""
        from ..core.spaces import Space

        return Space()


def claiming(path: Path) -> Modality:
    """The modality that reads a path. Raises ReverieError where it does not exist or none does."""
    from .. import modalities

    path = Path(path)
    if not present(path):
        raise ReverieError(f"{path} does not exist")
    known = discover.discover(modalities, Modality).values()
    for cls in known:
        if cls.claims(path):
            return cls()
    endings = ", ".join(sorted({ending for cls in known for ending in cls.extensions}))
    raise ReverieError(f"nothing in {path} can be read as data; what can: {endings}")


def load(what: str | Path, **options: Any) -> Dataset:
    """The data that a person names: a file or folder, or a built-in set where no file has that name.

    `options` go to the modality's `load`. Raises ReverieError.
    """
    path = Path(what).expanduser()
    if present(path):
        return claiming(path).load(path, **options)
    if path.parent != Path() or path.suffix:
        raise ReverieError(f"{path} does not exist")
    if options:
        raise ReverieError(f"the built-in data set {what} takes no options; leave out {', '.join(options)}")
    from ..data import builtin

    return builtin.load(str(what))


def numbered(folder: Path, stem: str, start: int, count: int, extension: str) -> list[Path]:
    """The files of `count` samples: 00007.png, or cat-00007.png."""
    return [Path(folder) / f"{stem}{'-' if stem else ''}{start + i:05d}{extension}" for i in range(count)]


def info_of(info: Info, count: int) -> list[Mapping[str, Any]]:
    """What is written into each of `count` files."""
    return [info or {}] * count if info is None or isinstance(info, Mapping) else list(info)
