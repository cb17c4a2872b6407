"""Values of few levels."""

from dataclasses import dataclass

from ...errors import ReverieError
from .base import Operator


@dataclass(frozen=True)
class Quantisation(Operator):
    """y is x rounded to the nearest of `levels` even values from `low` to `high`, and clipped to them.

    Not linear. Where it has a derivative that is zero, so that of the identity stands for it (straight-through: Bengio et
    al. 2013, https://arxiv.org/abs/1308.3432), and A^+ y = y. To a method that knows Gaussian noise alone, `std` is
    that of the rounding: of the uniform distribution over a step.
    """

    offers = frozenset({"pseudo-inverse"})
    linear = False

    levels: int = 8
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self):
        if self.levels < 2 or not self.low < self.high:
            raise ReverieError(f"{self} needs two levels or more, and low < high")

    @property
    def std(self) -> float:
        return (self.high - self.low) / (self.levels - 1) / 12**0.5

    def shape(self, x):
        return x

    def forward(self, x):
        step = (self.high - self.low) / (self.levels - 1)
        y = ((x.clamp(self.low, self.high) - self.low) / step).round() * step + self.low
        return x + (y - x).detach() if x.requires_grad else y

    def adjoint(self, y):
        return y

    def pseudo_inverse(self, y):
        return y

    def derivative(self, v):
        return v
