"""The conditioner that a data set calls for."""

from typing import Protocol

from torch import Tensor

from .base import Conditioner
from .joint import Joint
from .labels import Labels
from .scalars import Scalars
from .unconditional import Unconditional


class Described(Protocol):
    """What is known of the samples of a data set."""

    values: dict[str, Tensor]
    classes: tuple[str, ...]
    scalar_names: tuple[str, ...]


def automatic(dataset: Described, dropout: float = 0.1) -> Conditioner:
    """Labels where there are classes, scalars where there are numbers, both jointly, or nothing."""
    parts: list[Conditioner] = []
    if dataset.classes:
        parts.append(Labels(dataset.classes, dropout))
    if dataset.scalar_names:
        parts.append(Scalars.fit(dataset.scalar_names, dataset.values["scalars"], dropout))
    return Joint(tuple(parts)) if len(parts) > 1 else parts[0] if parts else Unconditional()
