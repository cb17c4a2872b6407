"""SDE-DPM-Solver++ of first order."""

from dataclasses import dataclass

from .base import Sampler
from .renewal import remaining, renewed, share


@dataclass(frozen=True)
class DPMpp1SDE(Sampler):
    """The reverse SDE of diffusion eta g, solved exactly for a guess that stays as it is:

        x_s = alpha_s x_hat + sigma_s (k eps_hat + sqrt(1 - k^2) z),    k = e^(-eta^2 h),  h = log(alpha / sigma)_s - .._t

    eta = 0 is DDIM, eta = 1 DDPM with the small variance; k-diffusion's eta is the square of this one. Regular at both
    ends: k = 0 from alpha_t = 0, and x_0 = x_hat.
    Lu et al. 2022, https://arxiv.org/abs/2211.01095
    """

    eta: float = 1.0
    order = 1

    @classmethod
    def variants(cls):
        return (cls(eta=0.5),)

    def __post_init__(self):
        share("eta", self.eta)

    @property
    def stochastic(self):
        return self.eta > 0

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s."""
        return renewed(schedule, estimate, x_t, t, s, remaining(schedule, t, s, self.eta))

    def step(self, denoiser, x_t, t, s, memory, noise):
        mean, std = self.transition(denoiser.schedule, denoiser(x_t, t), x_t, t, s)
        return mean + std * noise.draw(x_t, t, s) if self.eta else mean, memory
