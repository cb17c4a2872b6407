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
    sampler: str = option("dpmpp_2m_sde", "when sampling, unless another is asked for; `reverie samplers` lists them")
    sample_steps: int = option(25, "when sampling, unless another number is asked for")

    def dataset(self):
        return builtin.load("fashion_mnist")
