"""Folders of pictures."""

import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ReverieError
from . import captions
from .base import Dataset, Skipped
from .described import described, each, why
from .listing import PICTURES, listing
from .squares import LARGEST, check_size, completed, squared

if TYPE_CHECKING:
    from .pictures import Picture


def load_folder(folder: Path, size: int | None = None, channels: int | None = None) -> Dataset:
    """All pictures below a folder, as uint8 (N, C, H, W), sorted by name; a first-level subfolder is a class.

    Pictures that all have one size of at most 64 x 64 stay as they are. Others become squares of side `size`, or of the
    median shorter side but at most 64: the longer side is cut to the middle, what is left resized with antialiasing.
    C is 1 where every picture is grey, and 3 otherwise, unless `channels` says which. `data.pictures` says what becomes
    of opacity, 16 bits and so on, `data.captions` where captions are found, and the report what was skipped and why.
    Raises ReverieError where nothing is usable.
    """
    folder = Path(folder)
    check_size(size)
    if channels not in (None, 1, 3):
        raise ReverieError(f"pictures have 1 or 3 channels, not {channels}")
    listed = listing(folder)
    said = captions.read(folder, listed.found, PICTURES)
    skipped = list(listed.skipped)
    with warnings.catch_warnings():  # of the picture library, about files that are reported below
        warnings.simplefilter("ignore")
        names, pictures, side = _read(folder, [name for name in listed.found if name not in said.files], skipped, size)
    changes, doubts = changes_of(pictures, side)
    raw, notes = _stacked([one.levels for one in pictures if one.levels is not None], channels)
    return described(
        folder, listed, said, names, raw, skipped=skipped, changes=changes, notes=notes, doubts=doubts,
        sizes=Counter(f"{one.width}x{one.height}" for one in pictures), modality="Images",
    )  # fmt: skip


def changes_of(pictures: "Sequence[Picture]", side: int | None) -> tuple[Counter[str], list[str]]:
    from .pictures import LOSSY

    changes, doubts = squared(pictures, side)
    done = Counter(change for one in pictures for change in one.changes)
    doubts += [f"{done[lossy]} of {len(pictures)} pictures lost something: {lossy}" for lossy in LOSSY if done[lossy]]
    return changes + done, doubts


def _read(
    folder: Path, found: list[str], skipped: list[Skipped], size: int | None
) -> "tuple[list[str], list[Picture], int | None]":
    """(names, pictures, side) of what can be decoded; appends what cannot to `skipped`.

    Every file is opened and decoded once, but that without a `size` the header of what is larger than 64 x 64 is read
    twice: the side is known only when all sizes are.
    """
    from .pictures import PIXELS, read

    small = LARGEST**2 if size is None else PIXELS
    names, pictures = each(partial(read, size=size, most=small), folder, found, skipped)
    names, pictures, side = completed(folder, names, pictures, size, skipped, read)
    if not pictures:
        raise nothing_usable(folder, skipped)
    if side is not None and size is None:
        pictures = [fitted(one, side) for one in pictures]
    return names, pictures, side


def fitted(picture: "Picture", side: int) -> "Picture":
    """A picture that was kept at its own size as a square of that side."""
    from PIL import Image, ImageOps

    if picture.levels is None or picture.levels.shape[:2] == (side, side):
        return picture
    square = ImageOps.fit(Image.fromarray(picture.levels), (side, side), Image.Resampling.LANCZOS)
    return picture._replace(levels=np.asarray(square))


def nothing_usable(folder: Path, skipped: Sequence[Skipped]) -> ReverieError:
    return ReverieError(f"{folder} holds no usable picture{why(skipped)}. Pictures end in {', '.join(PICTURES)}")


def _stacked(arrays: list[np.ndarray], channels: int | None) -> tuple[np.ndarray, list[str]]:
    """(N, C, H, W), and notes on the channels; a picture is grey where it has two axes."""
    coloured = sum(a.ndim == 3 for a in arrays)
    raw = np.empty((len(arrays), channels or (3 if coloured else 1), *arrays[0].shape[:2]), np.uint8)
    for sample, a in zip(raw, arrays, strict=True):
        sample[:] = planes(a, raw.shape[1])
    return raw, notes_on(coloured, len(arrays), channels)


def planes(levels: np.ndarray, channels: int) -> np.ndarray:
    """(1 or 3, H, W) of (H, W) or (H, W, 3): the grey of a colour where one channel is asked for."""
    if channels == 1 and levels.ndim == 3:
        from PIL import Image

        levels = np.asarray(Image.fromarray(levels).convert("L"))
    return levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)


def notes_on(coloured: int, count: int, channels: int | None) -> list[str]:
    """What was done to the channels of so many pictures, of which so many have colour."""
    if channels == 1 and coloured:
        return [f"the colour of {coloured} of {count} pictures was left out"]
    if count > coloured > 0:
        return [f"{count - coloured} of {count} pictures are grey and got three equal channels"]
    return []
