"""A condition, and how a sample was augmented."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .base import Conditioner
from .joint import Joint
from .labels import Labels
from .scalars import Scalars
from .unconditional import Unconditional


@dataclass(frozen=True)
class Augmented(Conditioner):
    """Another condition's tensors, with what was done to the sample at the end of `scalars`, zero where nothing was.

        scalars = [scalars of the other, augmentation],    augmentation (B, A), zero unless `values` hold it

    A network that is told learns the samples as they are and those that were changed apart, and is asked for the former:
    so no augmentation leaks into what it makes. Nobody asks for one, so `keys` are those of the other.
    Karras et al. 2022, https://arxiv.org/abs/2206.00364, appendix F.2
    """

    conditioner: Conditioner
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.conditioner, Conditioner) or isinstance(self.conditioner, Augmented):
            raise ValueError("what is augmented is another condition, once")
        if not self.names or len(self.names) != len(set(self.names)):
            raise ValueError("an augmentation has names that differ")

    @classmethod
    def variants(cls) -> "tuple[Augmented, ...]":
        joint = Joint.variants()[0]
        return (
            cls(Labels(("cat", "dog")), ("mirror",)),
            cls(joint, ("mirror", "shift")),
            cls(Unconditional(), ("turn",)),
        )

    @property
    def keys(self):
        return self.conditioner.keys

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the other, where it has any; AttributeError otherwise, as it would raise."""
        return self.conditioner.classes  # type: ignore[attr-defined, no-any-return]

    @property
    def dropout(self) -> float:
        return self.conditioner.dropout  # type: ignore[attr-defined, no-any-return]

    def __call__(self, values: Mapping[str, Tensor], noise: Any = None) -> dict[str, Tensor]:
        count = len(next(iter(values.values())))
        done = values.get("augmentation", torch.zeros(count, len(self.names))).to(torch.float32)
        return self._with(self.conditioner(values, noise), done.nan_to_num())

    def null(self, n):
        return self._with(self.conditioner.null(n), torch.zeros(n, len(self.names)))

    def parse(self, entries):
        return self.conditioner.parse(entries)

    def backbone_options(self):
        inner = self.conditioner.backbone_options()
        return inner | {"scalars": inner.get("scalars", 0) + len(self.names)}

    @property
    def has_null(self):
        return self.conditioner.has_null

    @staticmethod
    def _with(tensors: dict[str, Tensor], done: Tensor) -> dict[str, Tensor]:
        said = [tensors["scalars"]] if "scalars" in tensors else []
        return tensors | {"scalars": torch.cat([*said, done], 1)}


def parts(conditioner: Conditioner) -> tuple[Conditioner, ...]:
    """The conditions that a condition is made of, or itself."""
    if isinstance(conditioner, Augmented):
        return parts(conditioner.conditioner)
    return conditioner.parts if isinstance(conditioner, Joint) else (conditioner,)


def columns(conditioner: Conditioner) -> list[tuple[str, str]]:
    """What each entry of `scalars` is: a kind and a name."""
    numbers = [one for one in parts(conditioner) if isinstance(one, Scalars)]
    found = [(kind, name) for one in numbers for kind in ("number", "known") for name in one.names]
    return found + ([("augmentation", n) for n in conditioner.names] if isinstance(conditioner, Augmented) else [])
