"""Patches of photographs, of any size each."""

import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..errors import ReverieError
from .base import Dataset, Report, Skipped
from .described import each
from .folders import nothing_usable, planes
from .listing import PICTURES, listing
from .opening import Unusable

LARGE = 1024
"""Pixels of the shorter side from where on pictures are made half as large first: what cameras and JPEG leave goes."""
MOST = 200_000
"""Patches kept of a folder: of more, evenly as many of all."""


def load_patches(folder: Path, side: int, held_out: int = 0, shrink: str | None = None) -> Dataset:
    """Disjoint squares of all pictures below a folder, uint8 (N, 1 or 3, side, side), in the order of the files' names.

    Pictures are first made `shrink` times smaller by means of blocks, several times over where that is several numbers, such
    as "2,4,8"; left open, 2 times where the shorter side has LARGE pixels or more. The last `held_out` pictures by name are
    the `test` part, whole: no patch of theirs is in the other. Raises ReverieError where no picture is as large as a patch,
    there are too few to hold out, or shrink is not of 1 to 64.
    """
    folder, times = Path(folder), None if shrink is None else shrinks(shrink)
    listed = listing(folder)
    found = [name for name in listed.found if name.lower().endswith(PICTURES)]
    skipped = [*listed.skipped, *(Skipped(n, "not a picture") for n in listed.found if n not in set(found))]
    with warnings.catch_warnings():  # of the picture library, about files that are reported
        warnings.simplefilter("ignore")
        names, cut = each(partial(patches_of, side=side, times=times), folder, found, skipped)
    if not names:
        raise nothing_usable(folder, skipped)
    if not 0 <= held_out < len(names):
        raise ReverieError(f"{folder} has {len(names)} usable pictures: hold out fewer of them than {held_out}")
    channels = max(one.shape[1] for one, _ in cut)
    parts = [np.repeat(one, channels, 1) if one.shape[1] < channels else one for one, _ in cut]
    kept = len(names) - held_out
    report = Report(len(found), len(names), tuple(sorted(skipped, key=lambda one: one.name)),
                    sizes=dict(sorted(Counter(size for _, size in cut).items())),
                    changes={f"cut into squares of {side}": len(names)})  # fmt: skip
    name, source = folder.resolve().name or "root", str(folder)
    data = Dataset(name, gathered(parts[:kept]), source=source, report=report)
    if held_out:
        data.test = Dataset(f"{name}, held out", gathered(parts[kept:]), source=source)
    return data


def shrinks(text: str) -> tuple[int, ...]:
    """Raises ReverieError where it is not different whole numbers from 1 to 64."""
    try:
        times = tuple(int(one) for one in str(text).split(","))
    except ValueError:
        times = ()
    if not times or len(set(times)) < len(times) or not all(1 <= by <= 64 for by in times):
        raise ReverieError(f"shrink is of whole numbers from 1 to 64, such as 2 or 2,4,8, not {text!r}")
    return times


def patches_of(path: str, side: int, times: tuple[int, ...] | None) -> tuple[np.ndarray, str]:
    """(uint8 (N, 1 or 3, side, side), the size of the file). Raises Unusable."""
    from . import pictures

    picture = pictures.read(path)
    assert picture.levels is not None
    whole = planes(picture.levels, picture.levels.ndim if picture.levels.ndim == 3 else 1)
    shorter = min(picture.width, picture.height)
    times = times or (2 if shorter >= LARGE else 1,)
    fitting = [by for by in times if shorter // by >= side]
    if not fitting:
        raise Unusable(f"smaller than {side * min(times)} x {side * min(times)}")
    squares = [squares_of(smaller(whole, by), side) for by in fitting]
    return np.concatenate(squares), f"{picture.width}x{picture.height}"


def smaller(whole: np.ndarray, by: int) -> np.ndarray:
    """Means of blocks of `by` x `by` of a picture uint8 (C, H, W), what is over at the right and below left out."""
    channels, height, width = len(whole), whole.shape[1] // by, whole.shape[2] // by
    if by == 1:
        return whole
    blocks = whole[:, : height * by, : width * by].reshape(channels, height, by, width, by)
    return np.round(blocks.mean((2, 4), dtype=np.float32)).astype(np.uint8)


def squares_of(whole: np.ndarray, side: int) -> np.ndarray:
    channels, down, across = len(whole), whole.shape[1] // side, whole.shape[2] // side
    squares = whole[:, : down * side, : across * side].reshape(channels, down, side, across, side)
    return np.ascontiguousarray(squares.transpose(1, 3, 0, 2, 4)).reshape(-1, channels, side, side)


def gathered(parts: list[np.ndarray]) -> torch.Tensor:
    raw = np.concatenate(parts)
    return torch.from_numpy(raw if len(raw) <= MOST else raw[np.linspace(0, len(raw) - 1, MOST).astype(int)])
