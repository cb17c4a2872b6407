"""Arrays of numbers: signals, fields, volumes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ReverieError
from .axes import channels, finite
from .base import Dataset, Report
from .described import copies
from .fields import load_fields
from .npy import header_npy, read_npy, read_npz
from .stored import Stored, blocks, fits

LABELS = ("label", "labels", "y", "target", "targets")


def load_arrays(path: Path, axes: int | None = None, size: int | None = None) -> Dataset:
    """Arrays as float32 (N, C, *axes), from a .npy or .npz file, or a folder of .npy or TIFF files with a sample each.

    Of a .npz, `x` is the samples, or else its largest array; `y` or `label` their classes, whole numbers or text, and
    `classes` the names of these; `scalars` (N, S) with `scalar_names`, and all other arrays of N fractions, numbers
    that describe them. In a folder, the first-level subfolder is the class. `axes` (1 to 3) says how many axes follow
    the channels where that is not clear. Raises ReverieError for numbers that are not finite, naming the first.
    """
    path = Path(path)
    if axes not in (None, 1, 2, 3):
        raise ReverieError(f"samples have 1 to 3 axes after their channels, not {axes}")
    if path.is_dir():
        return load_fields(path, axes, size)
    if size is not None:
        raise ReverieError(f"{path.name} is one array of samples, which are not resized: leave out the size")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ReverieError(f"{path} is neither a .npy nor a .npz file")
    if path.suffix.lower() == ".npz":
        return _file(path, read_npz(path), axes)
    if path.is_file() and not fits(path.stat().st_size):
        return stored_rows(path, axes)
    return _file(path, {"x": read_npy(path)}, axes)


def _file(path: Path, named: dict[str, np.ndarray], axes: int | None) -> Dataset:
    numbers = {key: a for key, a in named.items() if a.ndim >= 2 and a.dtype.kind in "biuf" and key != "scalars"}
    if not numbers:
        raise ReverieError(f"{path.name} holds no array of samples; save one named x, of shape (N, C, ...)")
    key = "x" if "x" in numbers else max(sorted(numbers), key=lambda k: numbers[k].size)
    x, notes = channels(numbers[key], axes)
    raw = finite(x, path.name)
    rest = {k: a for k, a in named.items() if k != key}
    classes, label, used = _labels(rest, len(raw))
    names, scalars, also = _scalars({k: a for k, a in rest.items() if k not in used}, len(raw))
    notes += [f"{k} {named[k].shape} was not used" for k in sorted(rest) if k not in {*used, *also}]
    values = {} if label is None else {"label": torch.from_numpy(label)}
    if names:
        values["scalars"] = torch.from_numpy(scalars)
    known: dict[str, Any] = {"values": values, "classes": classes, "scalar_names": names}
    return _dataset(path, torch.from_numpy(raw), copies(raw), notes, **known)


def stored_rows(path: Path, axes: int | None = None) -> Dataset:
    """The rows of a .npy file that stay in it, read once to see that all are finite and which are equal."""
    shape, dtype, start = header_npy(path)
    if len(shape) < 2 or not math.prod(shape) or dtype.kind not in "biuf":
        raise ReverieError(f"{path.name} holds no array of samples; save one of shape (N, C, ...)")
    like, notes = channels(np.broadcast_to(np.zeros((), dtype), shape), axes)
    raw = Stored(path, start, dtype, like.shape)
    step = len(next(blocks(raw)))
    checked = (finite(raw.numbers(slice(i, i + step)), path.name, first=i) for i in range(0, len(raw), step))
    equal = copies(sample for block in checked for sample in block)
    notes.append("read from disk, since memory would not hold it")
    return _dataset(path, raw, equal, notes)


def _dataset(
    path: Path, raw: torch.Tensor | Stored, equal: list[list[int]], notes: Sequence[str], **known: Any
) -> Dataset:
    return Dataset(
        name=path.stem,
        raw=raw,
        source=str(path),
        modality="Arrays",
        report=Report(
            found=len(raw),
            used=len(raw),
            duplicates=tuple(tuple(f"sample {i}" for i in group) for group in equal),
            sizes={"x".join(map(str, raw.shape[2:])): len(raw)},
            notes=tuple(notes),
        ),
        **known,
    )


def _labels(rest: dict[str, np.ndarray], n: int) -> tuple[tuple[str, ...], np.ndarray | None, set[str]]:
    """(classes, labels (N,), the keys that were used); -1 among whole numbers from 0 is no class."""
    for key in LABELS:
        found = rest.get(key)
        if found is None or found.size != n or len(found) != n or found.dtype.kind == "f":
            continue
        found = found.reshape(n)
        if found.dtype.kind == "S":
            found = np.char.decode(found, "utf-8", "backslashreplace")
        kinds, label = np.unique(found, return_inverse=True)
        given = rest.get("classes")
        if found.dtype.kind in "iu" and given is not None and given.ndim == 1 and given.dtype.kind == "U":
            if not -1 <= kinds[0] <= kinds[-1] < len(given):
                raise ReverieError(f"{key} runs from {kinds[0]} to {kinds[-1]}, but classes has {len(given)} names")
            return tuple(map(str, given)), found.astype(np.int64), {key, "classes"}
        unlabelled = int(found.dtype.kind == "i" and kinds[0] == -1)
        if unlabelled == len(kinds):
            return (), None, {key}
        return tuple(map(str, kinds[unlabelled:])), label.astype(np.int64) - unlabelled, {key}
    return (), None, set()


def _scalars(rest: dict[str, np.ndarray], n: int) -> tuple[tuple[str, ...], np.ndarray, set[str]]:
    """(names, scalars (N, S) float32, the keys that were used); NaN is a number that is not known."""
    names: list[str] = []
    columns: list[np.ndarray] = []
    used: set[str] = set()
    for key in sorted(rest):
        a = rest[key]
        if key == "scalars" and a.ndim == 2 and len(a) == n and a.dtype.kind in "biuf":
            given = rest.get("scalar_names")
            fits = given is not None and given.shape == (a.shape[1],) and given.dtype.kind == "U"
            names += [str(name) for name in given] if fits else [f"scalar{i}" for i in range(a.shape[1])]  # type: ignore[union-attr]
            columns += list(a.T)
            used |= {key, "scalar_names"} if fits else {key}
        elif a.shape == (n,) and a.dtype.kind == "f":
            names.append(key)
            columns.append(a)
            used.add(key)
    table = np.stack(columns, 1).astype(np.float32) if columns else np.zeros((n, 0), np.float32)
    if np.isinf(table).any():
        raise ReverieError(
            f"{names[int(np.argwhere(np.isinf(table))[0][1])]} is infinite somewhere; write NaN for unknown"
        )
    return tuple(names), table, used
