"""From the files that are used, and what is said about them, to a data set with its report."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from .base import Dataset, Report, Skipped
from .captions import Said
from .listing import Listing, classes_of
from .opening import Unusable
from .stored import Stored, each_row

CHUNK = 64
"""Files that a thread takes at a time."""

T = TypeVar("T")


def each(
    read: Callable[[str], T], folder: Path, names: Sequence[str], skipped: list[Skipped]
) -> tuple[list[str], list[T]]:
    """(names, results) of the files that could be read, in order; appends the others to `skipped`."""
    root = os.path.join(folder, "")

    def attempt(chunk: Sequence[str]) -> list[T | Unusable]:
        results: list[T | Unusable] = []
        for name in chunk:
            try:
                results.append(read(root + name))
            except Unusable as reason:
                results.append(reason)
        return results

    good, found = [], []
    chunks = [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for chunk, results in zip(chunks, pool.map(attempt, chunks), strict=True):
            for name, result in zip(chunk, results, strict=True):
                if isinstance(result, Unusable):
                    skipped.append(Skipped(name, str(result)))
                else:
                    good.append(name)
                    found.append(result)
    return good, found


def duplicates(names: Sequence[str], samples: Iterable[np.ndarray]) -> tuple[tuple[str, ...], ...]:
    """Groups of names whose samples are equal byte for byte; of arrays (N, *), or what yields as many."""
    return tuple(tuple(names[i] for i in group) for group in copies(samples))


def copies(samples: Iterable[np.ndarray]) -> list[list[int]]:
    """Groups of the numbers of samples that are equal byte for byte, in order of their first; 16 bytes are kept of each."""
    marks = [blake2b(np.ascontiguousarray(sample).data, digest_size=16).digest() for sample in samples]
    order = np.argsort(np.array(marks, dtype="S16"), kind="stable").tolist()
    groups: list[list[int]] = []
    for before, i in pairwise(order):
        if marks[before] != marks[i]:
            continue
        if groups and groups[-1][-1] == before:
            groups[-1].append(i)
        else:
            groups.append([before, i])
    return sorted(groups)


def described(
    folder: Path, listed: Listing, said: Said, names: Sequence[str], raw: np.ndarray | Stored, *, skipped: Sequence[Skipped],
    sizes: Mapping[str, int], changes: Mapping[str, int], notes: Sequence[str], doubts: Sequence[str], **more: Any,
) -> Dataset:  # fmt: skip
    """The data set of samples raw (N, C, *axes), one of each name. `doubts` are notes that `--strict` refuses."""
    classes, labels, loose = classes_of(names)
    notes, doubts = [*notes, *loose], [*doubts, *loose]
    if classes and said.labels:
        notes.append("the label column is not used: the subfolders are the classes")
    elif not classes and (given := {said.labels[name] for name in names if name in said.labels}):
        classes = tuple(sorted(given, key=lambda one: (0, int(one), one) if one.isdecimal() else (1, 0, one)))
        index = {name: i for i, name in enumerate(classes)}
        labels = [index.get(said.labels.get(name, ""), -1) for name in names]
        if -1 in labels:
            doubts.append(f"{labels.count(-1)} of {len(names)} samples have no label")
    values = {"label": torch.tensor(labels)} if classes else {}
    used = set(names)
    columns = {key: said.numbers[key] for key in sorted(said.numbers) if not used.isdisjoint(said.numbers[key])}
    if columns:
        table = [[column.get(name, np.nan) for column in columns.values()] for name in names]
        values["scalars"] = torch.tensor(table, dtype=torch.float32)
    captions = tuple(said.captions.get(name, "") for name in names)
    without = captions.count("")
    if said.captions and 0 < without < len(names):
        doubts.append(f"{without} of {len(names)} samples have no caption")
    if odd := [encoding for encoding in said.encodings if encoding == "Windows-1252"]:
        count = said.encodings[odd[0]]
        doubts.append(f"{count} caption file{'s are' if count > 1 else ' is'} not UTF-8, and read as Windows-1252")
    if said.unused:
        notes.append(f"columns not used: {', '.join(sorted(said.unused))}")
    if listed.outside:
        doubts.append(
            f"links that lead outside the folder, and were followed: {listed.outside} of {len(listed.found)} files"
        )
    same = duplicates(names, each_row(raw) if isinstance(raw, Stored) else raw)
    place = dict(zip(names, labels, strict=True)) if classes else {}
    return Dataset(
        name=folder.resolve().name or "root",
        raw=raw if isinstance(raw, Stored) else torch.from_numpy(raw),
        values=values,
        classes=classes,
        scalar_names=tuple(name.encode(errors="backslashreplace").decode() for name in columns),
        captions=captions if without < len(names) else (),
        source=str(folder),
        report=Report(
            found=len(listed.found) - len(said.files),
            used=len(names),
            skipped=tuple(sorted(skipped, key=lambda one: one.name)),
            duplicates=same,
            conflicts=tuple(group for group in same if place and len({place[name] for name in group}) > 1),
            sizes=dict(sorted(sizes.items())),
            changes=dict(sorted(changes.items())),
            faults=tuple(said.faults),
            encodings=dict(said.encodings),
            notes=tuple(dict.fromkeys([*notes, *doubts])),
            doubts=tuple(dict.fromkeys(doubts)),
        ),
        **more,
    )


def why(skipped: Sequence[Skipped]) -> str:
    """The reasons that files were skipped, with counts, after a colon; empty where none was."""
    reasons = Counter(one.reason for one in skipped)
    return ": " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()) if reasons else ""
