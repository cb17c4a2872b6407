"""Samples that stay in a file and are read when they are asked for, and the memory that decides which do."""

import os
import weakref
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ReverieError

ENTRIES = 2**22
"""Numbers that are worked on at a time."""
HELD = 10_000
"""Samples of a file that stand for all, where figures need them in memory."""
SHARE = 4
"""Of a machine's memory, one part in so many is for samples."""
UNLIMITED = 2**60


class Stored:
    """Samples (N, C, *axes) in a file: what a tensor says of itself, and its rows by index, which are read anew each time.

    Rows are read by position, so that threads share the file and memory holds no more than what was asked for. A file
    that changes while it is in use raises ReverieError: a mapped one would end the process, or show other samples.
    """

    def __init__(
        self, path: Path, start: int, stored: np.dtype, shape: Sequence[int], dtype: torch.dtype = torch.float32
    ) -> None:
        self.path, self.start, self.stored, self.dtype = Path(path), start, stored, dtype
        self.shape = torch.Size(shape)
        self.kept: np.ndarray | None = None
        self.file = Handle(path)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        return self.shape.numel()

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def __getitem__(self, rows: Tensor | Sequence[int] | np.ndarray | slice | int) -> Tensor:
        """The rows (B, C, *axes) of an index or a slice, or the one (C, *axes) of a number, as a tensor."""
        return torch.from_numpy(self.numbers(rows).astype(_numpy(self.dtype), copy=False))

    def numbers(self, rows: Any) -> np.ndarray:
        """The same as they are stored."""
        index = self._index(rows)
        wanted = index.ravel() if self.kept is None else self.kept[index.ravel()]
        array = np.empty((wanted.size, *self.shape[1:]), self.stored)
        width = self.stored.itemsize * self.shape[1:].numel()
        space = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        ends = [0, *(np.flatnonzero(np.diff(wanted) != 1) + 1).tolist(), wanted.size]
        for first, last in zip(ends, ends[1:]):  # rows that follow each other in the file are one read
            if last > first:
                self.file.read(space[first * width : last * width], self.start + int(wanted[first]) * width)
        return array.reshape(*index.shape, *self.shape[1:])

    def _index(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            return np.arange(*rows.indices(len(self)))
        index = np.asarray(rows.numpy() if isinstance(rows, Tensor) else rows, dtype=np.int64)
        if index.size and not -len(self) <= index.min() <= index.max() < len(self):
            raise IndexError(f"no such row among {len(self)}")
        return np.where(index < 0, index + len(self), index)

    def take(self, index: Tensor) -> "Stored":
        """The samples of these indices, in that order; nothing is read."""
        chosen = copy(self)
        chosen.kept = index.numpy() if self.kept is None else self.kept[index.numpy()]
        chosen.shape = torch.Size([len(index), *self.shape[1:]])
        return chosen

    def aminmax(self) -> tuple[Tensor, Tensor]:
        ends = [block.aminmax() for block in blocks(self)]
        return torch.stack([low for low, _ in ends]).min(), torch.stack([high for _, high in ends]).max()


class Handle:
    """A file that is open to be read by position, from any thread, until nobody holds it."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.number)
        self.state = self._state()

    def read(self, space: memoryview, offset: int) -> None:
        """Fills the space. Raises ReverieError where the file is not as it was, or ends before that."""
        done = 0
        while done < len(space) and (more := os.preadv(self.number, [space[done:]], offset + done)):
            done += more
        if done < len(space) or self._state() != self.state:
            raise ReverieError(f"{self.path} changed while it was in use: start again, with data that stay as they are")

    def _state(self) -> tuple[int, int]:
        about = os.fstat(self.number)
        return about.st_size, about.st_mtime_ns


def taken(raw: Tensor | Stored, index: Tensor) -> Tensor | Stored:
    """The samples of these indices, in memory or in their file, where they were."""
    return raw.take(index) if isinstance(raw, Stored) else raw[index]


def blocks(raw: Tensor | Stored, most: int = 4096) -> Iterator[Tensor]:
    """All rows in order, at most so many at a time, and no more than are good for memory."""
    step = max(1, min(most, ENTRIES // max(1, raw[:1].numel())))
    for first in range(0, len(raw), step):
        yield raw[first : first + step]


def held(raw: Tensor | Stored) -> Tensor:
    """Samples in memory: all, or of those that are in a file at most `HELD`, evenly chosen, and at most a GiB of them."""
    if isinstance(raw, Tensor):
        return raw
    n = max(1, min(len(raw), HELD, 2**28 // raw.shape[1:].numel()))
    return raw[np.arange(n) * len(raw) // n]


def each_row(raw: Stored) -> Iterator[np.ndarray]:
    """Every sample (C, *axes) in order, read block by block."""
    for block in blocks(raw):
        yield from block.numpy()


def fits(size: int) -> bool:
    """Whether samples of so many bytes are kept in memory: a quarter of what this process may have, at most.

    $REVERIE_MEMORY, in GiB, says otherwise. What does not fit is read from disk; nothing else is different.
    """
    try:
        most = float(os.environ["REVERIE_MEMORY"]) * 2**30
    except KeyError:
        most = memory() / SHARE
    except ValueError:
        raise ReverieError(f"REVERIE_MEMORY is a number of GiB, not {os.environ['REVERIE_MEMORY']!r}") from None
    return size <= most


def memory() -> int:
    """Bytes that this process may have: those of the machine, of its control group, or of a limit set on it."""
    import resource

    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    found += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(name).read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return min(one for one in found if 0 < one < UNLIMITED)


def _numpy(dtype: torch.dtype) -> np.dtype:
    return np.dtype(str(dtype).removeprefix("torch."))
