"""DDPM, ancestral sampling."""

from dataclasses import dataclass

import torch

from ..core.processes import Gaussian
from ..core.schedules import onto
from .base import Sampler


@dataclass(frozen=True)
class DDPM(Sampler):
    """Draws from q(x_s | x_t, x = x_hat), its deviation between two bounds.

        x_s = alpha_s x_hat + sigma_s r eps_hat + std z,    r^2 = snr_t / snr_s
        log std = fraction log(upper) + (1 - fraction) log(lower)

    The bounds are `Gaussian.bounds`: fraction 0 is the small variance, 1 the large, None the one that the network
    learned. The step to the data, s = 0, is x_hat alone. Regular where alpha_t = 0: there r = 0.
    Ho et al. 2020, https://arxiv.org/abs/2006.11239; Nichol & Dhariwal 2021, https://arxiv.org/abs/2102.09672
    """

    fraction: float | None = 0.0
    order = 1
    stochastic = True

    @classmethod
    def variants(cls):
        return cls(), cls(fraction=1.0), cls(fraction=0.5)

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s. Raises ValueError where the network learned no variance but must have."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        fraction = estimate.fraction if self.fraction is None else torch.tensor(self.fraction)
        if fraction is None:
            raise ValueError("this network learned no variance: take DDPM(fraction=0) or DDPM(fraction=1)")
        eps_hat = estimate.eps(x_t, alpha_t, sigma_t)
        lower, upper = Gaussian(schedule).bounds(t, s)
        r = alpha_t / alpha_s * sigma_s / sigma_t
        alpha_s, kept, lower, upper = onto(x_t, alpha_s, sigma_s * r, lower, upper)
        std = torch.where(lower > 0, upper**fraction * lower ** (1 - fraction), 0)
        return alpha_s * estimate.x_hat + kept * eps_hat, std

    def step(self, denoiser, x_t, t, s, memory, noise):
        mean, std = self.transition(denoiser.schedule, denoiser(x_t, t), x_t, t, s)
        return mean + std * noise.draw(x_t, t, s), memory
