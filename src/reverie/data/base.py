"""A data set: decoded once, kept in memory or in a file, and able to say exactly what it is."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import ReverieError
from .order import permutation
from .stored import Stored, blocks, taken


@dataclass(frozen=True)
class Skipped:
    """A file that was not used: its name below the folder, and one of a few short reasons."""

    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """What a reader found and did with it. All names are relative to the folder.

    `duplicates` are groups of names whose samples are the same byte for byte (they are used), `conflicts` those of them
    that are in more than one class; `sizes` counts the sizes that the files had before any change, `changes` what was
    done to how many. `faults` are lines and files of captions that were not used, and `encodings` counts those of the
    caption files. `notes` are sentences for the user, and `doubts` those of them that `--strict` refuses.
    """

    found: int = 0
    used: int = 0
    skipped: tuple[Skipped, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Skipped, ...] = ()
    encodings: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(eq=False)
class Dataset:
    """Samples and what is known of each.

    `raw` is (N, C, *axes): uint8 for pictures, float32 for arrays; `Stored` where memory would not hold it. `values` hold
    N rows each: `label` (N,) int64 into `classes`, -1 where there is none, and `scalars` (N, S) float32 named by
    `scalar_names`, NaN where there is none.
    `captions` are N texts, "" where there is none, or () where no sample has one. `dtype` and `ending` are those of the
    files where samples should be written as such again ("uint16", ".tif"), "" otherwise.
    `test` is the part that its authors held out, where a set comes with one. Contents are not to be changed in place.
    Raises ReverieError where the parts do not fit together.
    """

    name: str
    raw: Tensor | Stored
    values: dict[str, Tensor] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    scalar_names: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    dtype: str = ""
    ending: str = ""
    licence: str = ""
    source: str = ""
    modality: str = "Images"
    report: Report = Report()
    test: "Dataset | None" = None

    def __post_init__(self) -> None:
        if self.raw.ndim < 3 or not self.raw.numel():
            raise ReverieError(f"{self.name}: samples must be (N, C, *axes) and not empty, not {tuple(self.raw.shape)}")
        for key, value in self.values.items():
            if len(value) != len(self.raw):
                raise ReverieError(f"{self.name}: {len(value)} values of {key!r} for {len(self.raw)} samples")
        if self.captions and len(self.captions) != len(self.raw):
            raise ReverieError(f"{self.name}: {len(self.captions)} captions for {len(self.raw)} samples")
        label = self.values.get("label")
        if label is not None and not -1 <= label.min() <= label.max() < len(self.classes):
            raise ReverieError(f"{self.name}: labels must be -1 to {len(self.classes) - 1}, one number for each class")
        scalars = self.values.get("scalars")
        if scalars is not None and scalars.shape[1:] != (len(self.scalar_names),):
            raise ReverieError(f"{self.name}: {len(self.scalar_names)} names for scalars {tuple(scalars.shape)}")

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, *axes) of one sample."""
        return tuple(self.raw.shape[1:])

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256(repr((self.modality, self.classes, self.scalar_names)).encode())
        for key, tensor in [("raw", self.raw), *sorted(self.values.items())]:
            digest.update(repr((key, str(tensor.dtype), tuple(tensor.shape))).encode())
            for block in blocks(tensor):
                digest.update(np.ascontiguousarray(block.numpy()).data)
        for key, said in (("captions", self.captions), ("dtype", self.dtype), ("ending", self.ending)):
            if said:  # what most sets lack leaves their fingerprints as they always were
                digest.update(repr((key, said)).encode())
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """sha256 of everything that training can see: bytes, types, shapes, values, classes, captions; not of names and notes."""
        return self._fingerprint

    def take(self, indices: Tensor | list[int]) -> "Dataset":
        """The samples of these indices, in that order, without `test`."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        values = {key: value[index] for key, value in self.values.items()}
        captions = tuple(self.captions[i] for i in index.tolist()) if self.captions else ()
        return replace(self, raw=taken(self.raw, index), values=values, captions=captions, test=None)

    def split(self, held_out: int, seed: int = 0) -> "tuple[Dataset, Dataset]":
        """(train, test) with `held_out` samples in test: a function of the seed, each label in proportion.

        Both keep the order of the samples. Raises ReverieError where one part would be empty.
        """
        n = len(self)
        if not 0 < held_out < n:
            raise ReverieError(f"{self.name} has {n} samples: hold out between 1 and {n - 1}, not {held_out}")
        label = self.values.get("label", torch.zeros(n, dtype=torch.int64)).numpy()
        shuffled = permutation(seed, 0, n)
        kinds, counts = np.unique(label, return_counts=True)
        share = held_out * counts / n
        quota = np.floor(share).astype(int)
        quota[np.argsort(quota - share, kind="stable")[: held_out - quota.sum()]] += 1
        test = np.sort(np.concatenate([shuffled[label[shuffled] == k][:q] for k, q in zip(kinds, quota, strict=True)]))
        train = np.setdiff1d(np.arange(n), test)
        return self.take(torch.from_numpy(train)), self.take(torch.from_numpy(test))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """(mean, std) of each channel of `raw` over samples and axes, (C,) each, in float64; std about the mean."""
        count = self.raw.numel() / self.raw.shape[1]
        mean = torch.stack([_channels(rows).sum(1) for rows in blocks(self.raw)]).sum(0) / count
        squares = [_channels(rows).sub_(mean[:, None]).square_().sum(1) for rows in blocks(self.raw)]
        return mean, (torch.stack(squares).sum(0) / count).sqrt()


def _channels(rows: Tensor) -> Tensor:
    """(C, B * axes) float64, a copy, of rows (B, C, *axes)."""
    return rows.transpose(0, 1).flatten(1).to(torch.float64, copy=True)
