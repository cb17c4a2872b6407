"""Numbers that describe a sample."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ReverieError, unknown
from .base import Conditioner, check_dropout, each


@dataclass(frozen=True)
class Scalars(Conditioner):
    """`scalars` (B, 2S): the standardised numbers, then which of them are known; those that are not are 0 and 0.

        [(v - mean) / std * known, known]

    With probability `dropout` all of a sample's are withheld in training. Values are (B, S), NaN where unknown.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not len(self.names) == len(set(self.names)) == len(self.mean) == len(self.std) > 0:
            raise ValueError("scalars need names that differ, and one mean and one std for each")
        if not all(math.isfinite(m) and math.isfinite(s) and s > 0 for m, s in zip(self.mean, self.std, strict=True)):
            raise ValueError("the mean and std of scalars must be finite, and std positive")
        check_dropout(self.dropout)

    @classmethod
    def fit(cls, names: tuple[str, ...], scalars: Tensor, dropout: float = 0.1) -> "Scalars":
        """The mean and std of scalars (N, S) where they are known; a std of 1 for what never varies."""
        columns = [column[~column.isnan()] for column in scalars.double().T]
        mean = [column.mean().item() if len(column) else 0.0 for column in columns]
        std = [column.std(correction=0).item() if len(column) else 0.0 for column in columns]
        return cls(tuple(names), tuple(mean), tuple(s or 1.0 for s in std), dropout)

    @classmethod
    def variants(cls) -> "tuple[Scalars, ...]":
        return (cls(("hue", "size"), (0.5, 10.0), (0.25, 2.0)), cls(("age",), (0.0,), (1.0,), dropout=0.0))

    @property
    def keys(self):
        return self.names

    def __call__(self, values, noise=None):
        v = values["scalars"].double()
        known = ~v.isnan()
        if noise is not None:
            known = known & (noise.uniform(v[:, 0]) >= self.dropout)[:, None]
        mean, std = torch.tensor([self.mean, self.std], dtype=torch.float64, device=v.device)
        z = torch.where(known, (v - mean) / std, 0)
        return {"scalars": torch.cat([z, known.double()], 1).to(torch.float32)}

    def null(self, n):
        return {"scalars": torch.zeros(n, 2 * len(self.names))}

    def parse(self, entries: Any) -> dict[str, Tensor]:
        """`hue=0.3, size=2`, a mapping of that, or a plain number where there is but one name."""
        return {"scalars": torch.tensor([self._row(entry) for entry in each(entries)], dtype=torch.float32)}

    def backbone_options(self):
        return {"scalars": 2 * len(self.names)}

    @property
    def has_null(self):
        return self.dropout > 0

    def _row(self, entry: Any) -> list[float]:
        given = dict.fromkeys(self.names, math.nan)
        for name, value in self._pairs(entry):
            if name not in given:
                raise unknown("scalar", name, self.names)
            given[name] = _number(name, value)
        if not self.has_null and all(math.isnan(value) for value in given.values()):
            raise ReverieError(f"this model was never trained without its scalars; give {', '.join(self.names)}")
        return list(given.values())

    def _pairs(self, entry: Any) -> list[tuple[str, Any]]:
        if entry is None:
            return []
        if isinstance(entry, Mapping):
            return [(str(name), value) for name, value in entry.items() if value is not None]
        pieces = [piece.partition("=") for piece in str(entry).split(",") if piece.strip()]
        if len(self.names) == len(pieces) == 1 and not pieces[0][1]:
            return [(self.names[0], pieces[0][0])]
        for name, equals, _ in pieces:
            if not equals:
                raise ReverieError(f"cannot read {name.strip()!r}: write scalars as {self.names[0]}=0.5")
        return [(name.strip(), value) for name, _, value in pieces]


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ReverieError(f"{name} must be a number, not {str(value).strip()!r}") from None
    if not math.isfinite(number):
        raise ReverieError(f"{name} must be a finite number, not {number}")
    return number
