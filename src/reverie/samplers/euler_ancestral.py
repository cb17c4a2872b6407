"""Euler's method, ancestral."""

from dataclasses import dataclass

from ..core.schedules import onto
from .ancestral import split
from .base import Sampler
from .renewal import share


@dataclass(frozen=True)
class EulerAncestral(Sampler):
    """Goes past s by Euler's method, to the noise `down`, and noises back with `up`; sigma_s^2 = down^2 + up^2.

        x_s = alpha_s x_hat + down eps_hat + up z,    up = eta sigma_s sqrt(1 - snr_t / snr_s)

    That is DDIM of the same eta, on every schedule (tested): in x / alpha Euler's steps and DDIM's are one. Regular at
    both ends: from alpha_t = 0 with eta = 1 all that is random is new, and x_0 = x_hat.
    Crowson 2022, https://github.com/crowsonkb/k-diffusion; Song et al. 2020, https://arxiv.org/abs/2010.02502
    """

    eta: float = 1.0
    order = 1

    def __post_init__(self):
        share("eta", self.eta, most=1)

    @property
    def stochastic(self):
        return self.eta > 0

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s."""
        (alpha_t, sigma_t), (alpha_s, _) = schedule(t), schedule(s)
        a, down, up = onto(x_t, alpha_s, *split(schedule, t, s, self.eta))
        return a * estimate.x_hat + down * estimate.eps(x_t, alpha_t, sigma_t), up

    def step(self, denoiser, x_t, t, s, memory, noise):
        mean, std = self.transition(denoiser.schedule, denoiser(x_t, t), x_t, t, s)
        return mean + std * noise.draw(x_t, t, s) if self.eta else mean, memory
