"""The size that pictures of many sizes get: squares, with nothing stretched."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import ReverieError
from .base import Skipped
from .described import each

LARGEST = 64
"""The side that pictures get unless the caller says otherwise: what one processor can learn in minutes."""


class Sized(Protocol):
    """What was read of a file: its size in pixels, and what it holds, None where that is still to be decoded."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def levels(self) -> Any: ...


S = TypeVar("S", bound=Sized)


def check_size(size: int | None) -> None:
    if size is not None and not 1 <= size <= 4096:
        raise ReverieError(f"the size of pictures must be 1 to 4096, not {size}")


def side_of(pictures: Sequence[Sized], size: int | None) -> int | None:
    """The side of the squares that pictures become, or None where they stay as they are."""
    sizes = [(one.width, one.height) for one in pictures]
    if size is not None:
        return size
    if len(set(sizes)) == 1 and max(sizes[0]) <= LARGEST:
        return None
    return min(LARGEST, int(statistics.median(min(one) for one in sizes))) if sizes else None


def completed(
    folder: Path, names: list[str], pictures: list[S], size: int | None, skipped: list[Skipped],
    decode: Callable[[str, int], S],
) -> tuple[list[str], list[S], int | None]:  # fmt: skip
    """(names, pictures, side) with those decoded that were not; appends what cannot be to `skipped`.

    The side depends on the pictures that are used alone: where a large one turns out damaged and the side would be
    another without it, the other large ones are decoded again.
    """
    large = {name for name, one in zip(names, pictures, strict=True) if one.levels is None}
    side, before = side_of(pictures, size), None
    while large and side != before:
        before, wanted = side, side or LARGEST
        good = dict(zip(*each(lambda path, wanted=wanted: decode(path, wanted), folder, sorted(large), skipped)))  # type: ignore[misc]
        pairs = [(name, good.get(name, one)) for name, one in zip(names, pictures, strict=True)
                 if name in good or name not in large]  # fmt: skip
        names, pictures, large = [name for name, _ in pairs], [one for _, one in pairs], set(good)
        side = side_of(pictures, size)
    return names, pictures, side


def squared(pictures: Sequence[Sized], side: int | None) -> tuple[Counter[str], list[str]]:
    """What becoming squares of that side does to pictures: counts, and what is doubtful about it."""
    changes: Counter[str] = Counter()
    if side is None:
        return changes, []
    sizes = [(one.width, one.height) for one in pictures]
    changes["cut to a square"] = sum(width != height for width, height in sizes)
    changes["resized"] = sum(min(one) != side for one in sizes)
    enlarged, cut = sum(min(one) < side for one in sizes), sum(max(one) > 2 * min(one) for one in sizes)
    doubts = []
    if enlarged:
        doubts.append(f"{enlarged} of {len(sizes)} pictures were smaller than {side} x {side} and were enlarged")
    if cut:
        doubts.append(f"{cut} of {len(sizes)} pictures lost more than half of their area to the cut")
    return +changes, doubts
