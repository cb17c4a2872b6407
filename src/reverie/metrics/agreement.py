"""Whether samples are of the class that was asked for."""

from dataclasses import dataclass

from .base import Metric, Population
from .neighbours import share


@dataclass(frozen=True)
class Agreement(Metric):
    """The share of samples in which a classifier sees the class that was asked, with its binomial standard error.

    Read it beside the classifier's accuracy on real data, which perfect samples would reach.
    Ravuri and Vinyals 2019, https://arxiv.org/abs/1905.10887, discuss what classifiers can tell of samples.
    """

    better = "higher"
    unit = "share"
    needs = ("asked",)

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        p, error = share(samples.need("predicted", "Agreement") == samples.need("asked", "Agreement"))
        return {"agreement": p, "agreement_error": error}

    def warnings(self, samples: Population, reference: Population) -> list[str]:
        return [note for note in super().warnings(samples, reference) if "reference" not in note]
