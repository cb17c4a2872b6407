"""What an oracle knows besides the guess."""

import abc

from torch import Tensor

from ..denoisers import Denoiser
from ..noise import Noise
from ..schedules import Schedule, onto


class Oracle(Denoiser):
    """The exact denoiser of known data, with the marginals p_t of x_t = alpha_t x + sigma_t eps.

    Everything is computed in the type of x_t from parameters in float64. `cond` is that of `forward`.
    """

    @abc.abstractmethod
    def log_prob(self, x_t: Tensor, t: Tensor | float, **cond: Tensor) -> Tensor:
        """log p_t(x_t) in nats, one for each sample; the log-likelihood of the data at t = 0."""

    @abc.abstractmethod
    def score(self, x_t: Tensor, t: Tensor | float, **cond: Tensor) -> Tensor:
        """grad log p_t(x_t), shaped like x_t, regular at both ends where p_t is."""

    @abc.abstractmethod
    def sample(self, noise: Noise, t: Tensor | float = 0.0, **cond: Tensor) -> Tensor:
        """x_t in float64, (B, *): sample i from stream i of the noise, whatever else is drawn."""


def level(x_t: Tensor, schedule: Schedule, t: Tensor | float) -> tuple[Tensor, Tensor]:
    """(alpha_t, sigma_t) for x_t (..., D), (..., 1) each.

    Raises ValueError where they vary within a sample, whose coordinates are correlated here.
    """
    alpha_t, sigma_t = onto(x_t, *schedule(t))
    if alpha_t.shape[-1] != 1:
        raise ValueError("entries at different noise levels need coordinates without correlation: take stds, no axes")
    return alpha_t, sigma_t
