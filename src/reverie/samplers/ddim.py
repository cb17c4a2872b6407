"""DDIM."""

from dataclasses import dataclass

from ..core.schedules import onto
from .base import Sampler


@dataclass(frozen=True)
class DDIM(Sampler):
    """Puts the guess in place of the data: eta = 0 is deterministic, eta = 1 draws from q(x_s | x_t, x_hat).

        x_s = alpha_s x_hat + sqrt(sigma_s^2 - std^2) eps_hat + std z,    std = eta sigma_s sqrt(1 - snr_t / snr_s)

    Regular at both ends: from alpha_t = 0 all that is random is new, and x_0 = x_hat.
    Song et al. 2020, https://arxiv.org/abs/2010.02502
    """

    eta: float = 0.0
    order = 1

    @classmethod
    def variants(cls):
        return cls(), cls(eta=0.5), cls(eta=1.0)

    @property
    def stochastic(self):
        return self.eta > 0

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        eps_hat = estimate.eps(x_t, alpha_t, sigma_t)
        std = self.eta * sigma_s * (1 - (alpha_t / alpha_s * sigma_s / sigma_t) ** 2).sqrt()
        alpha_s, kept, std = onto(x_t, alpha_s, (sigma_s**2 - std**2).sqrt(), std)
        return alpha_s * estimate.x_hat + kept * eps_hat, std

    def step(self, denoiser, x_t, t, s, memory, noise):
        mean, std = self.transition(denoiser.schedule, denoiser(x_t, t), x_t, t, s)
        return mean + std * noise.draw(x_t, t, s) if self.eta else mean, memory
