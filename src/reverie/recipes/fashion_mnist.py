"""Fashion-MNIST."""

from dataclasses import dataclass

from ..data import builtin
from .base import option
from .generation import Generation


@dataclass(frozen=True)
class FashionMNIST(Generation):
    """Pictures of clothes, 28 x 28, by class."""

    data: str = "fashion_mnist"
    minutes: float | None = option(
        30.0, "train for about this long; the samples it amounts to are measured at the start"
    )

    scale: float = option(1.5, "of guidance when sampling, unless another is asked for; 1 is none")

    def dataset(self):
        return builtin.load("fashion_mnist")
