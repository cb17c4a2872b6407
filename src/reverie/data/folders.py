"""Folders of pictures."""

import hashlib
import os
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ..errors import ReverieError
from .base import Dataset, Report, Skipped
from .listing import classes_of, listing

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
LARGEST = 64
"""The side that pictures get unless the caller says otherwise: what one processor can learn in minutes."""

T = TypeVar("T")


def load_folder(folder: Path, size: int | None = None, channels: int | None = None) -> Dataset:
    """All pictures below a folder, as uint8 (N, C, H, W), sorted by name; a first-level subfolder is a class.

    Pictures that all have one size of at most 64 x 64 stay as they are. Others become squares of side `size`, or of the
    median shorter side but at most 64: the shorter side is resized with antialiasing, the longer cut to its middle.
    C is 1 where every picture is grey, and 3 otherwise, unless `channels` says which. The report tells what was skipped
    and why. Raises ReverieError where nothing is usable.
    """
    folder = Path(folder)
    if size is not None and not 1 <= size <= 4096:
        raise ReverieError(f"the size of pictures must be 1 to 4096, not {size}")
    if channels not in (None, 1, 3):
        raise ReverieError(f"pictures have 1 or 3 channels, not {channels}")
    found, skipped = listing(folder)
    with warnings.catch_warnings():  # of the picture library, about files that are reported below
        warnings.simplefilter("ignore")
        names, sizes, side, arrays = _read(folder, found, skipped, size)
    raw, notes = _stacked(arrays, channels)
    classes, labels, about_classes = classes_of(names)
    enlarged = sum(min(one) < side for one in sizes) if side else 0
    notes += about_classes
    if enlarged:
        notes.append(f"{enlarged} of {len(names)} pictures were smaller than {side} x {side} and were enlarged")
    return Dataset(
        name=folder.resolve().name or "root",
        raw=torch.from_numpy(raw),
        values={"label": torch.tensor(labels)} if classes else {},
        classes=classes,
        source=str(folder),
        modality="Images",
        report=Report(
            found=len(found),
            used=len(names),
            skipped=tuple(sorted(skipped, key=lambda one: one.name)),
            duplicates=duplicates(names, raw),
            sizes=dict(sorted(Counter(f"{width}x{height}" for width, height in sizes).items())),
            notes=tuple(notes),
        ),
    )


def duplicates(names: Sequence[str], raw: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Groups of names whose samples are equal byte for byte; raw (N, *)."""
    same: dict[bytes, list[str]] = {}
    for name, sample in zip(names, raw, strict=True):
        same.setdefault(hashlib.sha256(np.ascontiguousarray(sample).data).digest(), []).append(name)
    return tuple(tuple(group) for group in same.values() if len(group) > 1)


def _read(
    folder: Path, found: list[str], skipped: list[Skipped], size: int | None
) -> tuple[list[str], list[tuple[int, int]], int | None, list[np.ndarray]]:
    """(names, sizes, side, arrays) of what can be decoded; appends what cannot to `skipped`.

    The side depends on the pictures that are used alone: where one turns out damaged and the side would be another
    without it, the rest is decoded again.
    """
    from .pictures import decode, header

    sizes: list[tuple[int, int]]
    names, sizes = _sifted(folder, found, header, skipped)  # type: ignore[assignment]
    while names:
        side = _side(sizes, size)
        used, arrays = _sifted(folder, names, partial(decode, size=side), skipped)
        kept = set(used)
        sizes = [one for name, one in zip(names, sizes, strict=True) if name in kept]
        names = used
        if names and _side(sizes, size) == side:
            return names, sizes, side, arrays
    reasons = Counter(one.reason for one in skipped)
    why = ": " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) if reasons else ""
    raise ReverieError(f"{folder} holds no usable picture{why}. Pictures end in {', '.join(PICTURES)}")


def _sifted(
    folder: Path, names: list[str], read: Callable[[Path], T], skipped: list[Skipped]
) -> tuple[list[str], list[T]]:
    from .pictures import Unusable

    def attempt(name: str) -> T | Unusable:
        try:
            return read(folder / name)
        except Unusable as reason:
            return reason

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(attempt, names))
    good = [(name, one) for name, one in zip(names, results, strict=True) if not isinstance(one, Unusable)]
    skipped += [Skipped(name, str(one)) for name, one in zip(names, results, strict=True) if isinstance(one, Unusable)]
    return [name for name, _ in good], [one for _, one in good]


def _side(sizes: Sequence[tuple[int, int]], size: int | None) -> int | None:
    """The side of the squares that pictures become, or None where they stay as they are."""
    if size is not None:
        return size
    if len(set(sizes)) == 1 and max(sizes[0]) <= LARGEST:
        return None
    return min(LARGEST, int(statistics.median(min(one) for one in sizes))) if sizes else None


def _stacked(arrays: list[np.ndarray], channels: int | None) -> tuple[np.ndarray, list[str]]:
    """(N, C, H, W), and notes on the channels."""
    coloured = sum(a.ndim == 3 and not (a == a[..., :1]).all() for a in arrays)
    notes = []
    if channels == 1 and coloured:
        from PIL import Image

        arrays = [np.asarray(Image.fromarray(a).convert("L")) for a in arrays]
        notes.append(f"the colour of {coloured} of {len(arrays)} pictures was left out")
    elif (channels or (3 if coloured else 1)) == 3:
        if len(arrays) > coloured > 0:
            notes.append(f"{len(arrays) - coloured} of {len(arrays)} pictures are grey and got three equal channels")
        arrays = [a if a.ndim == 3 else a[..., None].repeat(3, -1) for a in arrays]
        return np.stack(arrays).transpose(0, 3, 1, 2).copy(), notes
    return np.stack([a if a.ndim == 2 else a[..., 0] for a in arrays])[:, None].copy(), notes
