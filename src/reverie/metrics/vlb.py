"""How well a model predicts real data: the variational bound of its discrete chain."""

from dataclasses import dataclass
from math import log

import torch

from ..core.chain_likelihood import ChainBound
from .base import Metric, Population
from .nll import asked, few, is_levels, measure_of, summary


@dataclass(frozen=True)
class VLB(Metric):
    """The bits a dimension that ancestral sampling's chain of `steps` even steps needs for held-out data: `ChainBound`.

    One evaluation a step. `fraction` is where the chain's log-deviation lies between its bounds, 1 for the larger. Once
    the last step's sigma is far below the width of a level, more steps make the bound worse for models that do not know
    their data to lie on levels: the chain pays for where inside its level a sample is.
    Ho et al. 2020, https://arxiv.org/abs/2006.11239
    """

    steps: int = 250
    fraction: float = 1.0
    levels: int = 256
    batch: int = 64

    better = "lower"
    unit = "bits a dimension"
    needs = ("model",)

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        model, found = samples.origin("VLB"), []
        for z, width, noise, denoiser in asked(model, reference, self.levels, self.batch, "vlb"):
            binned = is_levels(reference.need("raw", "VLB"))
            bound = ChainBound(self.steps, width if binned else None, self.fraction)
            bits = bound(denoiser, z, noise)
            found.append(bits if binned else bits - log(width) / log(2))
        return summary(torch.cat(found), "vlb")

    def warnings(self, samples: Population, reference: Population) -> list[str]:
        return few(self, samples, reference)

    def assumptions(self, samples: Population, reference: Population) -> list[str]:
        n = min(samples.origin("VLB").count, len(reference))
        what = measure_of(reference, self.levels).replace("filled by uniform noise", "each a bin of the last step")
        return [
            f"vlb: bits a dimension of {n:,} held-out samples given their conditions, without guidance",
            f"vlb: a chain of {self.steps} even steps from N(0, sigma_1^2), log-deviation at {self.fraction:g} between "
            "its bounds",
            "vlb: " + what,
        ]
