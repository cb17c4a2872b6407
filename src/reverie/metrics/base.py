"""What a metric compares, and what it says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor

from ..core.denoisers import Denoiser
from ..errors import ReverieError


@dataclass(frozen=True, eq=False)
class Model:
    """The model that samples come from, for metrics that ask it about real data."""

    given: Callable[[Mapping[str, Tensor]], Denoiser]
    """The denoiser of p(z | values), with B rows of values."""
    encode: Callable[[Tensor], Tensor]
    """Raw data (B, C, *axes) to z, each entry by a line of its own."""
    count: int = 1000
    """How many of the reference samples to ask about, at most."""
    seed: int = 0
    progress: Callable[[int, int], None] | None = None
    """Told how many of them are done."""


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
    values: Mapping[str, Tensor] = field(default_factory=dict)
    """Conditions by name, N rows each, as the model was trained with them."""
    model: Model | None = None
    """What the samples come from."""
    prompts: tuple[str, ...] = ()
    """What each sample was asked to show, or is said to show."""

    def __len__(self) -> int:
        return next((len(x) for x in (self.features, self.raw, self.predicted, self.labels) if x is not None), 0)

    def origin(self, metric: str) -> Model:
        if self.model is None:
            raise ReverieError(
                f"{metric} asks the model itself, and only samples are given: use `reverie evaluate RUN`"
            )
        return self.model

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
    """Of "features", "raw", "train" (a population of training data), "asked" (asked and predicted classes), "prompts" and
    "model".
    """

    @abstractmethod
    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        """The figures of `samples` against `reference`, which is real data held out from training."""

    def minimum(self, dim: int) -> int:
        """The number of samples, on either side, below which `warnings` warns; `dim` is D."""
        return 100

    def assumptions(self, samples: Population, reference: Population) -> list[str]:
        """What the figures rest on, where that is a choice."""
        return []

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
