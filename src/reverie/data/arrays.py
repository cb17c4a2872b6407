"""Arrays of numbers: signals, fields, volumes."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from ..errors import ReverieError
from .base import Dataset, Report, Skipped
from .folders import duplicates
from .listing import classes_of, listing
from .npy import read_npy, read_npz

LABELS = ("label", "labels", "y", "target", "targets")
MANY = 8
"""Channels above which an array is more likely to lack its channel axis than to have so many."""
WORDS = {1: "positions", 2: "rows and columns", 3: "layers, rows and columns"}


def load_arrays(path: Path, axes: int | None = None) -> Dataset:
    """Arrays as float32 (N, C, *axes), from a .npy or .npz file, or a folder of .npy files with a sample each.

    Of a .npz, `x` is the samples, or else its largest array; `y` or `label` their classes, whole numbers or text, and
    `classes` the names of these; `scalars` (N, S) with `scalar_names`, and all other arrays of N fractions, numbers
    that describe them. In a folder, the first-level subfolder is the class. `axes` (1 to 3) says how many axes follow
    the channels where that is not clear. Raises ReverieError for numbers that are not finite, naming the first.
    """
    path = Path(path)
    if axes not in (None, 1, 2, 3):
        raise ReverieError(f"samples have 1 to 3 axes after their channels, not {axes}")
    if path.is_dir():
        return _folder(path, axes)
    named = {"x": read_npy(path)} if path.suffix.lower() == ".npy" else read_npz(path)
    return _file(path, named, axes)


def _file(path: Path, named: dict[str, np.ndarray], axes: int | None) -> Dataset:
    numbers = {key: a for key, a in named.items() if a.ndim >= 2 and a.dtype.kind in "biuf" and key != "scalars"}
    if not numbers:
        raise ReverieError(f"{path.name} holds no array of samples; save one named x, of shape (N, C, ...)")
    key = "x" if "x" in numbers else max(sorted(numbers), key=lambda k: numbers[k].size)
    x, notes = _channels(numbers[key], axes)
    raw = _finite(x, path.name)
    rest = {k: a for k, a in named.items() if k != key}
    classes, label, used = _labels(rest, len(raw))
    names, scalars, also = _scalars({k: a for k, a in rest.items() if k not in used}, len(raw))
    notes += [f"{k} {named[k].shape} was not used" for k in sorted(rest) if k not in {*used, *also}]
    values = {} if label is None else {"label": torch.from_numpy(label)}
    if names:
        values["scalars"] = torch.from_numpy(scalars)
    numbered = [f"sample {i}" for i in range(len(raw))]
    return Dataset(
        name=path.stem,
        raw=torch.from_numpy(raw),
        values=values,
        classes=classes,
        scalar_names=names,
        source=str(path),
        modality="Arrays",
        report=Report(
            found=len(raw),
            used=len(raw),
            duplicates=duplicates(numbered, raw),
            sizes={"x".join(map(str, raw.shape[2:])): len(raw)},
            notes=tuple(notes),
        ),
    )


def _folder(folder: Path, axes: int | None) -> Dataset:
    found, skipped = listing(folder)
    arrays: dict[str, np.ndarray] = {}
    for name in found:
        try:
            if not name.lower().endswith(".npy"):
                raise ReverieError("not a .npy file")
            if not (folder / name).is_file():
                raise ReverieError("not a regular file")
            arrays[name] = read_npy(folder / name)
        except ReverieError as reason:
            skipped.append(Skipped(name, str(reason)))
    shapes = Counter(a.shape for a in arrays.values() if a.dtype.kind in "biuf" and a.ndim and a.size)
    if not shapes:
        raise ReverieError(f"{folder} holds no usable .npy file" + "".join(f"; {one.reason}" for one in skipped[:1]))
    shape = shapes.most_common(1)[0][0]
    for name, a in list(arrays.items()):
        if a.shape != shape or a.dtype.kind not in "biuf":
            skipped.append(Skipped(name, f"{a.dtype} {a.shape}, where most are numbers {shape}"))
            del arrays[name]
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            _finite(a[None], name)
    x, notes = _channels(np.stack(list(arrays.values())), axes)
    raw = _finite(x, folder.name)
    names = list(arrays)
    classes, labels, about_classes = classes_of(names)
    return Dataset(
        name=folder.resolve().name or "root",
        raw=torch.from_numpy(raw),
        values={"label": torch.tensor(labels)} if classes else {},
        classes=classes,
        source=str(folder),
        modality="Arrays",
        report=Report(
            found=len(found),
            used=len(names),
            skipped=tuple(sorted(skipped, key=lambda one: one.name)),
            duplicates=duplicates(names, raw),
            sizes={"x".join(map(str, one)): count for one, count in sorted(shapes.items())},
            notes=tuple(notes + about_classes),
        ),
    )


def _channels(x: np.ndarray, axes: int | None) -> tuple[np.ndarray, list[str]]:
    """(N, C, *axes), with a channel axis where there was none, and how it was read."""
    inner = x.ndim - 1
    if axes is None:
        axes = max(1, inner - 1)
        if axes > 3:
            raise ReverieError(f"an array {x.shape} has more than 3 axes after N and C")
        if inner > 1 and x.shape[1] > MANY:
            raise ReverieError(
                f"an array {x.shape} can be read in two ways: axes={axes} for {x.shape[1]} channels"
                + (f", axes={inner} for one channel that was left out" if inner <= 3 else "")
                + "; if the channels come last, move them first: np.moveaxis(x, -1, 1)"
            )
    if inner not in (axes, axes + 1):
        raise ReverieError(f"an array {x.shape} cannot have {axes} axes after N and C")
    x = x[:, None] if inner == axes else x
    channels = f"{x.shape[1]} channel{'s' if x.shape[1] > 1 else ''}"
    return x, [f"read as {len(x)} samples of {channels} with {WORDS[axes]} {' x '.join(map(str, x.shape[2:]))}"]


def _finite(x: np.ndarray, name: str) -> np.ndarray:
    """x as float32. Raises ReverieError naming the first number that is not finite there."""
    with np.errstate(over="ignore"):
        raw = np.ascontiguousarray(x, dtype=np.float32)
    bad = ~np.isfinite(raw)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        many = f"{int(bad.sum())} numbers are" if bad.sum() > 1 else "one number is"
        raise ReverieError(
            f"{name}: {many} not finite in float32, the first at index {where}: {x[where]}; "
            "leave those samples out or fill the gaps, and save again"
        )
    return raw


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
