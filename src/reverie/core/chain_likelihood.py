"""The variational bound of the discrete chain, term by term."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .denoisers import Denoiser
from .likelihood import gaussian_kl
from .losses import VariationalLoss
from .noise import Noise
from .processes import Gaussian
from .schedules import Schedule, onto
from .spaces import Space


class Term(NamedTuple):
    """What one step of the chain costs."""

    t: float
    s: float
    bits: Tensor
    """(B,), a dimension."""


@dataclass(frozen=True)
class ChainBound:
    """-log2 p(x) a dimension, from above, for the chain of `count` even steps of time that ancestral sampling takes.

        KL(q(x_1 | x) || N(0, sigma_1^2))
        + sum over t = (i + 1) / count, s = i / count, i > 0 of KL(q(x_s | x_t, x) || N(mean, std^2))
        - log p(x | x_(1 / count)), over bins of width `bin`; the density itself where that is None

    one x_t drawn for each term from the sample's own stream. `fraction` says where log std lies between the bounds of
    `Gaussian.bounds`, for networks that have not learned it: 1, right for data that are wide against the noise, makes
    the bound tight as count grows; 0 is right for isolated points. The terms are those of `losses.VariationalLoss`.
    Ho et al. 2020, https://arxiv.org/abs/2006.11239; Kingma et al. 2021, https://arxiv.org/abs/2107.00630
    """

    count: int = 1000
    bin: float | None = 2 / 255
    fraction: float = 1.0

    def terms(self, denoiser: Denoiser, x: Tensor, noise: Noise, space: Space = Space()) -> Iterator[Term]:
        """The prior's, then each step's from t = 1 to the data, of x (B, *); in float64."""
        x, loss, denoiser = x.double(), VariationalLoss(denoiser, self.count, self.bin), denoiser.begin()
        process = Gaussian(denoiser.schedule)
        yield Term(1.0, 1.0, space.mean(prior_bits(denoiser.schedule, x)))
        for i in reversed(range(self.count)):
            index = torch.full((len(x),), float(i), dtype=torch.float64)
            t = (index + 1) / self.count
            x_t = process.draw(x, t, noise.draw(x))
            with torch.no_grad():
                estimate = denoiser(x_t, t)
            fraction = torch.full_like(x, self.fraction) if estimate.fraction is None else estimate.fraction
            bits = loss.bound(x, x_t, index, estimate.x_hat, fraction) / self.count
            yield Term((i + 1) / self.count, i / self.count, space.mean(bits))

    def __call__(self, denoiser: Denoiser, x: Tensor, noise: Noise, space: Space = Space()) -> Tensor:
        """Bits a dimension, (B,), of x (B, *); the denoiser is asked `count` times, as it is."""
        return torch.stack([term.bits for term in self.terms(denoiser, x, noise, space)]).sum(0)


def prior_bits(schedule: Schedule, x: Tensor) -> Tensor:
    """KL(q(x_1 | x) || N(0, sigma_1^2)) of each entry, in bits: 0 where alpha_1 = 0."""
    alpha_1, sigma_1 = onto(x, *schedule(1.0))
    return gaussian_kl(alpha_1 * x, sigma_1.log(), torch.zeros_like(x), sigma_1.log()) / math.log(2)
