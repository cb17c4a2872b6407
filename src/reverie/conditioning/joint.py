"""Several conditions at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import ReverieError, unknown
from .base import Conditioner, each
from .labels import Labels
from .scalars import Scalars


@dataclass(frozen=True)
class Joint(Conditioner):
    """The tensors of all parts, which must differ in name; each part draws its own dropout.

    Text is `cat, hue=0.3`: what has no name is the first part's.
    """

    parts: tuple[Conditioner, ...]

    def __post_init__(self) -> None:
        if len(self.keys) != len(set(self.keys)) or len(self._merged([part.null(1) for part in self.parts])) == 0:
            raise ValueError("a joint condition needs parts, and no two may share a name")

    @classmethod
    def variants(cls) -> "tuple[Joint, ...]":
        return (cls((Labels(("cat", "dog")), Scalars(("hue",), (0.5,), (0.25,), dropout=0.3))),)

    @property
    def keys(self):
        return tuple(key for part in self.parts for key in part.keys)

    def __call__(self, values, noise=None):
        return self._merged([part(values, noise) for part in self.parts])

    def null(self, n):
        return self._merged([part.null(n) for part in self.parts])

    def parse(self, entries: Any) -> dict[str, Tensor]:
        asked = [self._named(entry) for entry in each(entries)]
        return self._merged([part.parse([_only(one, part.keys) for one in asked]) for part in self.parts])

    def backbone_options(self):
        return self._merged([part.backbone_options() for part in self.parts])

    @property
    def has_null(self):
        """Whether all parts are ever dropped together."""
        return all(part.has_null for part in self.parts)

    def _named(self, entry: Any) -> dict[str, Any]:
        if isinstance(entry, Mapping):
            named = {str(key): value for key, value in entry.items()}
        else:
            pieces = [] if entry is None else [piece.strip() for piece in str(entry).split(",") if piece.strip()]
            pairs = [tuple(p.split("=", 1)) if "=" in p else (self.keys[0], p) for p in pieces]
            named = {key.strip(): value.strip() for key, value in pairs}
            if len(named) != len(pairs):
                raise ReverieError(f"cannot read {entry!r}: one thing is said twice")
        for key in named:
            if key not in self.keys:
                raise unknown("condition", key, self.keys)
        return named

    @staticmethod
    def _merged(found: list[dict[str, Any]]) -> dict[str, Any]:
        merged = {name: value for one in found for name, value in one.items()}
        if len(merged) != sum(map(len, found)):
            raise ValueError("two parts of a joint condition make a tensor of the same name")
        return merged


def _only(named: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in named.items() if key in keys}
