"""The null-space model for noisy measurements."""

from dataclasses import dataclass

import torch

from ..samplers.base import Cost
from ..samplers.ddim import DDIM
from ..samplers.renewal import share
from .base import PosteriorSampler
from .operators.base import told


@dataclass(frozen=True, eq=False)
class DDNMPlus(PosteriorSampler):
    """DDNM+: the measured part of the guess moves to y as far as the noise of the step allows, and that noise makes room.

        c_i <- c_i + l_i (c_i(y) - c_i),    l_i = min(1, s_i std / (a std_y)),    c = V^T x_hat
        x_s = a x_hat + b x_t + V (std^2 - (a l_i std_y / s_i)^2)^(1/2) z

    a, b and std are those of the step of DDIM with `eta`, so x_s has the noise that belongs to s, part of it that of y.
    Its time travel is a grid that goes up, `grids.Resampled`. Wang et al. 2022, https://arxiv.org/abs/2212.00490
    """

    eta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        share("eta", self.eta, 1)

    @property
    def evaluations(self):
        return Cost()

    def step(self, denoiser, x_t, t, s, memory, noise):
        estimate = denoiser(x_t, t)
        spectrum, known = self.seen(x_t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = denoiser.schedule(t), denoiser.schedule(s)
        r = alpha_t / alpha_s * sigma_s / sigma_t
        std = self.eta * sigma_s * (1 - r**2).sqrt()
        a = alpha_s - alpha_t / sigma_t * (sigma_s**2 - std**2).clamp(min=0).sqrt()
        brought = a * torch.where(spectrum.s > 0, self.std_y / spectrum.s, 0)
        l = torch.where(brought > std, std / brought, 1) * (spectrum.s > 0)
        l, left = told(x_t, l, (std**2 - (l * brought) ** 2).clamp(min=0).sqrt())
        x_hat = estimate.x_hat + spectrum.back(l * (known - spectrum.to(estimate.x_hat)))
        mean, _ = DDIM(self.eta).transition(denoiser.schedule, estimate._replace(x_hat=x_hat, eps_hat=None), x_t, t, s)
        return mean + spectrum.back(left * spectrum.to(noise.draw(x_t, t, s))), memory
