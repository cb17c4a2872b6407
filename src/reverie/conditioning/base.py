"""What a conditioner is."""

import abc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor


class Uniform(Protocol):
    """The part of a noise source that dropout needs."""

    def uniform(self, like: Tensor) -> Tensor:
        """float64 on the open interval (0, 1), shaped like `like` (B, *), row i from sample i's own stream."""


class Conditioner(abc.ABC):
    """Values of samples to the named tensors that a backbone takes. Concrete ones are frozen dataclasses.

    Values that are unknown (a label of -1, a scalar that is NaN, no entry at all) become the condition that says
    nothing; so does each sample, at random, in training, which is what guidance needs.
    """

    @property
    @abc.abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The words by which a person names what is said: `label`, or the names of scalars."""

    @abc.abstractmethod
    def __call__(self, values: Mapping[str, Tensor], noise: Uniform | None = None) -> dict[str, Tensor]:
        """values, (B, *) each, -> the backbone's keyword arguments, (B, *) each. Without noise nothing is dropped."""

    @abc.abstractmethod
    def null(self, n: int) -> dict[str, Tensor]:
        """The condition that says nothing, n times."""

    @abc.abstractmethod
    def parse(self, entries: Any) -> dict[str, Tensor]:
        """What a person asks for, or a list of that, -> values; None asks for nothing in particular.

        Text and plain numbers are read as each conditioner says; a mapping from `keys` always does.
        Raises ReverieError for what is not known, with the nearest name.
        """

    @abc.abstractmethod
    def backbone_options(self) -> dict[str, int]:
        """What the backbone must be built with to take these conditions."""

    @property
    @abc.abstractmethod
    def has_null(self) -> bool:
        """Whether training ever shows the null condition; guidance is impossible where it does not."""

    def attach(self, folder: Path) -> None:  # noqa: B027
        """Told where the run is, whose parts it may have; they are read when they are needed."""

    def store(self, folder: Path) -> None:  # noqa: B027
        """Writes what it is beyond plain numbers into a run."""


def each(entries: Any) -> list[Any]:
    return list(entries) if isinstance(entries, (list, tuple)) else [entries]


def check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is a probability below 1, not {dropout}")
