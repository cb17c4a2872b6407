"""What an operator is: y = A(x), and the way back."""

import abc
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from ...errors import ReverieError

Shape = tuple[int, ...]
"""Of one sample, without the batch."""


class Spectrum(NamedTuple):
    """A^T A = V diag(s^2) V^T in coordinates c = V^T x, so A = U diag(s) V^T with U = A V / s where s > 0.

    V is orthogonal on all of x's space: the coordinates with s = 0 are those that the measurement does not see.
    """

    s: Tensor
    """Float64, not negative, broadcastable against the coordinates."""
    to: Callable[[Tensor], Tensor]
    """V^T x, (B, *)"""
    back: Callable[[Tensor], Tensor]
    """V c, (B, *)"""


class Operator(abc.ABC):
    """Frozen; acts on each row of a batch (B, *) by itself, in its type and on its device.

    What is not linear gives the adjoint of its derivative.
    """

    example: ClassVar[Shape] = (3, 8, 8)
    """The shape of a sample that `variants` fit."""
    offers: ClassVar[frozenset[str]] = frozenset({"pseudo-inverse", "spectrum"})
    """What it has besides the adjoint; posterior methods say what they need."""
    linear: ClassVar[bool] = True

    @abc.abstractmethod
    def shape(self, x: Shape) -> Shape:
        """The shape of y for that of x. Raises ReverieError where x does not fit."""

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A(x)"""

    @abc.abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y"""

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """A^+ y: A A^+ A = A."""
        raise lacks(self, "pseudo-inverse")

    def spectrum(self, x: Shape) -> Spectrum:
        """For samples of that shape."""
        raise lacks(self, "spectrum")

    def derivative(self, v: Tensor) -> Tensor:
        """What y moves by when x moves by v; the same everywhere."""
        return self.forward(v)

    def __call__(self, x: Tensor) -> Tensor:
        """A(x). Raises ReverieError where x does not fit."""
        self.shape(tuple(x.shape[1:]))
        return self.forward(x)


def lacks(operator: Operator, what: str) -> ReverieError:
    return ReverieError(f"{operator} has no {what}")


def measured(spectrum: Spectrum, operator: Operator, y: Tensor) -> Tensor:
    """The coordinates of A^+ y, V^T A^T y / s^2; zero where the measurement does not see."""
    (square,) = told(y, spectrum.s**2)
    return torch.where(square > 0, spectrum.to(operator.adjoint(y)) / square, 0)


def told(x: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Float64 numbers on x's device, in its type."""
    return tuple(value.to(x.device, torch.promote_types(x.dtype, torch.float32)) for value in values)


def said(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "nothing"


def picture(operator: object, x: Shape, need: str = "") -> tuple[int, int, int]:
    """(channels, height, width). Raises ReverieError where a sample is no picture."""
    if len(x) != 3:
        raise ReverieError(f"{operator} acts on pictures, channels x height x width, not on {said(x)}{need}")
    return x[0], x[1], x[2]
