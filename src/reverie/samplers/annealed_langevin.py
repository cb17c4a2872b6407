"""Annealed Langevin dynamics."""

from dataclasses import dataclass

from ..core.sdes import langevin
from .base import Cost, Sampler
from .renewal import share


@dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """Langevin dynamics at the noise of s, from where those at t ended; no step leads from one to the other.

        x <- x - step sigma_s eps_hat + sqrt(2 step) sigma_s z,    `corrections` times

    The dynamics forget the wrong start at a rate of `step` times sigma^2 / variance a correction, so that mean and
    spread are right only with many corrections, or levels, and then of first order in 1 / (levels corrections step)
    (tested). The step to the data, s = 0, is x_hat. Every draw is free: no Brownian path is followed. NCSN's
    step is epsilon / (2 sigma_last^2) = 0.1, 100 times at each of 10 levels.
    Song & Ermon 2019, https://arxiv.org/abs/1907.05600
    """

    step_size: float = 0.1
    corrections: int = 10
    order = 1
    stochastic = True
    weak = True

    @classmethod
    def variants(cls):
        return (cls(step_size=0.3, corrections=3),)

    def __post_init__(self):
        share("step_size", self.step_size, most=1)
        if self.corrections < 1:
            raise ValueError(f"corrections must be 1 or more, not {self.corrections}")

    @property
    def evaluations(self):
        return Cost(self.corrections, to_data=1)

    def step(self, denoiser, x_t, t, s, memory, noise):
        if s == 0:
            return denoiser(x_t, t).x_hat, memory
        for _ in range(self.corrections):
            x_t = langevin(denoiser, x_t, s, self.step_size, noise.draw(x_t))
        return x_t, memory
