"""Folders of numbers, a sample a file: .npy of one to three axes, and TIFF pictures of more than 8 bits."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import ReverieError
from . import captions, tiffs
from .axes import MANY, WORDS, channels, counted, read_as
from .base import Dataset, Skipped
from .described import described, each, why
from .listing import PICTURES, TIFFS, listing
from .npy import read_npy
from .opening import Unusable, opened
from .squares import LARGEST, check_size, completed, squared

KINDS = (".npy", *TIFFS)
EXACT = 2**24
"""Whole numbers up to here are exact in float32."""
PEEKED = 16
"""Files that say which type the TIFFs of a folder have."""


class Field(NamedTuple):
    """What a file holds: its type as stored, its shape (C, *axes), and the numbers, None where not decoded."""

    dtype: np.dtype
    shape: tuple[int, ...]
    levels: np.ndarray | None

    @property
    def width(self) -> int:
        return self.shape[-1]

    @property
    def height(self) -> int:
        return self.shape[-2]

    @property
    def family(self) -> str:
        """The type that samples are written as: float32 for all floating ones, that of the file for whole numbers."""
        return "float32" if self.dtype.kind in "bf" else self.dtype.newbyteorder("=").name


def load_fields(folder: Path, axes: int | None = None, size: int | None = None) -> Dataset:
    """A sample a file as float32 (N, C, *axes), in the units of the files; a first-level subfolder is a class.

    A .npy file is (C, *axes), (H, W) or (H, W, C). A TIFF is a picture whose channels and pages, up to 8 together, are C;
    with more it is a volume (1, D, H, W). `axes` says otherwise: 2 for pictures, 3 for volumes. TIFFs of one size of at
    most 64 x 64 stay; others become squares as pictures do (`data.folders`), by averages that never leave the range of
    the numbers. Of .npy files that happens where `size` is given; else their shapes must agree. What has not the type
    and the shape that most files have is skipped and reported, and so is a file with NaN or infinite numbers. `dtype`
    and `ending` of the data set say how samples are to be written. Raises ReverieError where nothing is usable.
    """
    folder = Path(folder)
    check_size(size)
    listed = listing(folder)
    said = captions.read(folder, listed.found, KINDS)
    skipped = list(listed.skipped)
    candidates = [name for name in listed.found if name not in said.files]
    names, fields = each(partial(read, axes=axes, size=size), folder, candidates, skipped)
    names, fields = _alike(names, fields, [one.family for one in fields], [str(one.dtype) for one in fields], skipped)
    kinds = [f"of {WORDS[len(one.shape) - 1]}" for one in fields]
    names, fields = _alike(names, fields, kinds, kinds, skipped)
    tiff = sum(name.lower().endswith(TIFFS) for name in names) * 2 > len(names)
    flat = bool(fields) and len(fields[0].shape) == 3
    resized = flat and (size is not None or tiff)
    shapes = [(f"pictures of {counted(one.shape[0])}" if resized else f"numbers {one.shape}") for one in fields]
    names, fields = _alike(names, fields, shapes, [f"{one.dtype} {one.shape}" for one in fields], skipped)
    if size is not None and fields and not flat:
        raise ReverieError(f"{folder} holds no pictures, and only those can be resized: leave out --size")
    side = None
    if resized:
        names, fields, side = completed(folder, names, fields, size, skipped, partial(_decoded, axes))
    if not fields:
        raise ReverieError(f"{folder} holds no usable .npy or TIFF file{why(skipped)}")
    changes, doubts = squared(fields, side)
    shape = fields[0].shape if side is None else (fields[0].shape[0], side, side)
    raw = np.empty((len(fields), *shape), np.float32)
    for sample, one in zip(raw, fields, strict=True):
        sample[:] = one.levels if side is None else _fitted(one.levels, side)
    notes = [read_as(raw.shape)]
    if fields[0].dtype.kind in "iu" and max(raw.max(), -raw.min()) >= EXACT:
        doubts.append(f"whole numbers beyond {EXACT} are rounded to the 24 bits of float32")
    plain = not tiff and fields[0].family == "float32"
    return described(
        folder, listed, said, names, raw, skipped=skipped, changes=changes, notes=notes, doubts=doubts,
        sizes=Counter(_stated(one, resized) for one in fields), modality="Arrays",
        dtype="" if plain else fields[0].family, ending="" if plain else ".tif" if tiff else ".npy",
    )  # fmt: skip


def _stated(field: Field, resized: bool) -> str:
    return f"{field.width}x{field.height}" if resized else "x".join(map(str, field.shape))


def read(path: str, axes: int | None = None, size: int | None = None) -> Field:
    """The numbers of a file, in squares where a `size` is given; a large TIFF is not decoded. Raises Unusable."""
    return _tiff(path, axes, size, LARGEST**2 * MANY) if path.lower().endswith(TIFFS) else _npy(path, axes, size)


def _decoded(axes: int | None, path: str, side: int) -> Field:
    return _tiff(path, axes, side, tiffs.LIMIT)


def _tiff(path: str, axes: int | None, size: int | None, most: int) -> Field:
    shape, dtype, array = tiffs.read(path, tiffs.LIMIT if size else most)
    if axes == 1:
        raise Unusable("a picture, where samples of one axis are asked for")
    volume = axes == 3 or (axes is None and shape[0] > MANY)
    if volume and array is None:
        shape, dtype, array = tiffs.read(path)
    field = Field(dtype, (1, *shape) if volume else shape, array if array is None or not volume else array[None])
    return _usable(field, size)


def _npy(path: str, axes: int | None, size: int | None) -> Field:
    if not path.lower().endswith(".npy"):
        raise Unusable("not a .npy or TIFF file")
    opened(path).close()
    try:
        array = read_npy(Path(path))
        if array.dtype.kind not in "biuf" or not array.size:
            raise Unusable("holds no numbers")
        array = _arranged(array, axes)
    except ReverieError as error:
        raise Unusable(str(error).removeprefix(path).removeprefix(Path(path).name).lstrip(": ")) from None
    return _usable(Field(array.dtype, array.shape, array), size)


def _arranged(array: np.ndarray, axes: int | None) -> np.ndarray:
    """(C, *axes) of one sample; a picture may lack its channels or have them last. Raises ReverieError."""
    if axes in (None, 2) and array.ndim == 2 and (axes or array.shape[0] > MANY):
        return array[None]
    if axes in (None, 2) and array.ndim == 3 and array.shape[0] > MANY and array.shape[2] <= 4:
        return np.moveaxis(array, -1, 0)
    return channels(array[None], axes)[0][0]


def _usable(field: Field, size: int | None) -> Field:
    """Refuses what is not finite in float32, and fits pictures to squares of that size."""
    if field.levels is None:
        return field
    if field.dtype.kind == "f":
        with np.errstate(over="ignore"):
            if not np.isfinite(field.levels.astype(np.float32)).all():
                raise Unusable("holds numbers that are NaN or infinite")
    if size is None or len(field.shape) != 3:
        return field
    return field._replace(levels=_fitted(field.levels, size))


def _fitted(levels: np.ndarray | None, side: int) -> np.ndarray:
    """(C, side, side) float32: the middle square, resized by a triangle's kernel, which has no negative weights."""
    from PIL import Image, ImageOps

    assert levels is not None
    if levels.shape[1:] == (side, side):
        return levels
    kernel = Image.Resampling.BILINEAR
    planes = [Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32)) for plane in levels]
    return np.stack([np.asarray(ImageOps.fit(plane, (side, side), kernel)) for plane in planes])


def _alike(
    names: list[str], fields: list[Field], keys: Sequence[str], told: Sequence[str], skipped: list[Skipped]
) -> tuple[list[str], list[Field]]:
    """Those with the commonest key; appends the others to `skipped`, with what is told of them."""
    if not keys:
        return names, fields
    common = Counter(keys).most_common(1)[0][0]
    for name, key, what in zip(names, keys, told, strict=True):
        if key != common:
            skipped.append(Skipped(name, f"{what}, where most are {common}"))
    kept = [i for i, key in enumerate(keys) if key == common]
    return [names[i] for i in kept], [fields[i] for i in kept]


def kind_of(folder: Path) -> str:
    """Whether the files of a folder are mostly "pictures" or mostly "numbers"; "" where they are neither.

    TIFFs are what most of some that lie evenly among them are: pictures with at most 8 bits, and otherwise numbers.
    """
    found = listing(folder).found
    counts = Counter(os.path.splitext(name)[1].lower() for name in found)
    pictures, numbers = sum(counts[ending] for ending in PICTURES if ending not in TIFFS), counts[".npy"]
    tiff = [name for name in found if name.lower().endswith(TIFFS)]
    if not tiff or not _deep(folder, tiff):
        pictures += len(tiff)
    else:
        numbers += len(tiff)
    return "pictures" if pictures > numbers else "numbers" if numbers else ""


def _deep(folder: Path, names: Sequence[str]) -> bool:
    _, peeked = each(partial(tiffs.read, most=0), folder, names[:: -(-len(names) // PEEKED)], [])
    deep = sum(dtype.itemsize > 1 or dtype.kind == "i" for _, dtype, _ in peeked)
    return deep * 2 > len(peeked)
