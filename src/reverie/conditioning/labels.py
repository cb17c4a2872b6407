"""Classes by name or number."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ReverieError, unknown
from .base import Conditioner, check_dropout, each


@dataclass(frozen=True)
class Labels(Conditioner):
    """`label` (B,) int64: the index of a class, and len(classes) for none.

    With probability `dropout` a sample's label is withheld in training. Ho & Salimans 2022, https://arxiv.org/abs/2207.12598
    """

    classes: tuple[str, ...]
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("labels need classes")
        check_dropout(self.dropout)

    @classmethod
    def variants(cls) -> "tuple[Labels, ...]":
        return (cls(("cat", "dog", "Ankle boot")), cls(("0", "1"), dropout=0.0))

    @property
    def keys(self):
        return ("label",)

    def __call__(self, values, noise=None):
        label = values["label"]
        hidden = label < 0
        if noise is not None:
            hidden = hidden | (noise.uniform(label) < self.dropout)
        return {"label": torch.where(hidden, len(self.classes), label)}

    def null(self, n):
        return {"label": torch.full((n,), len(self.classes))}

    def parse(self, entries: Any) -> dict[str, Tensor]:
        """A name in any case, the unambiguous start of one, or an index; a name that is a number wins over an index."""
        return {"label": torch.tensor([self._index(entry) for entry in each(entries)], dtype=torch.int64)}

    def backbone_options(self):
        return {"classes": len(self.classes)}

    @property
    def has_null(self):
        return self.dropout > 0

    def _index(self, entry: Any) -> int:
        if isinstance(entry, Mapping):
            entry = entry.get("label")
        if entry is None and self.has_null:
            return -1
        if entry is None:
            raise ReverieError(f"this model was never trained without a class; choose one of {', '.join(self.classes)}")
        text = str(entry).strip()
        if text in self.classes and isinstance(entry, str):
            return self.classes.index(text)
        for fits in (str.__eq__, str.startswith) if text and isinstance(entry, str) else ():
            near = [i for i, name in enumerate(self.classes) if fits(name.lower(), text.lower())]
            if len(near) == 1:
                return near[0]
        if text.isascii() and text.isdigit() and int(text) < len(self.classes):
            return int(text)
        raise unknown("class", text, self.classes, f"An index from 0 to {len(self.classes) - 1} does too.")
