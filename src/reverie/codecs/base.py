"""What a codec is."""

import abc
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor


class Measured(Protocol):
    """What a codec is fitted to: something with the per-channel mean and std of its raw data, (C,) float64 each."""

    name: str

    def statistics(self) -> tuple[Tensor, Tensor]: ...


class Codec(abc.ABC):
    """Raw data to model space and back. Concrete codecs are frozen dataclasses of plain numbers.

    `range` bounds z where it is bounded; `std` is the spread of z about its mean over everything, which the
    parameterization and the time density are told: the data are never rescaled by it.
    """

    range: tuple[float, float] | None = None
    factor: int = 1
    """How many positions of raw data an axis become one of z."""

    @property
    @abc.abstractmethod
    def std(self) -> float: ...

    @abc.abstractmethod
    def encode(self, raw: Tensor) -> Tensor:
        """raw (B, C, *axes) -> z float32, of the same shape, or of a `factor`-th of the positions an axis."""

    @abc.abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """z (B, C, *axes), any floating type -> the raw data that it stands for."""

    def raw_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(C, *axes) of raw data whose z is of that shape."""
        return shape

    def attach(self, folder: Path) -> None:  # noqa: B027
        """Told where the run is, whose parts it may have; they are read when they are needed."""

    def store(self, folder: Path) -> None:  # noqa: B027
        """Writes what it is beyond plain numbers into a run."""


def spread(mean: Tensor, std: Tensor) -> float:
    """The std about the mean over everything, from the (C,) mean and std of channels that are equally many."""
    return torch.sqrt((std.square() + (mean - mean.mean()).square()).mean()).item()
