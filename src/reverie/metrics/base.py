"""What a metric compares, and what it says of itself."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from ..errors import ReverieError


@dataclass(frozen=True, eq=False)
class Population:
    """N samples and what is known of them; a metric raises ReverieError where what it needs is None."""

    features: Tensor | None = None
    """(N, D), float32 or float64; metrics compute in float64."""
    raw: Tensor | None = None
    """(N, *): uint8 on 0..255, or floats."""
    labels: Tensor | None = None
    """(N,): the true class of each real sample."""
    asked: Tensor | None = None
    """(N,): the class that each sample was asked to be."""
    predicted: Tensor | None = None
    """(N,): the class that a classifier sees in each sample."""

    def __len__(self) -> int:
        return next((len(x) for x in (self.features, self.raw, self.predicted, self.labels) if x is not None), 0)

    def need(self, what: str, metric: str) -> Tensor:
        value = getattr(self, what)
        if value is None or not len(value):
            raise ReverieError(f"{metric} needs the {what} of its populations, and there are none")
        return value


class Metric(ABC):
    """A frozen dataclass of options; `measure` returns its figures by name, and the standard error of a figure `f` as
    `f_error` where one is known.
    """

    better: ClassVar[Literal["lower", "higher"]]
    unit: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("features",)
    """Of "features", "raw", "train" (a population of training data), "asked" (asked and predicted classes)."""

    @abstractmethod
    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        """The figures of `samples` against `reference`, which is real data held out from training."""

    def minimum(self, dim: int) -> int:
        """The number of samples, on either side, below which `warnings` warns; `dim` is D."""
        return 100

    def warnings(self, samples: Population, reference: Population) -> list[str]:
        """What the reader of the figures should know."""
        dim = samples.features.shape[1] if samples.features is not None else 0
        least = self.minimum(dim)
        sides = {"samples": len(samples), "reference samples": len(reference)}
        return [
            f"{type(self).__name__}: {n} {side} are few, figures are steady from {least} on"
            for side, n in sides.items()
            if n < least
        ]
