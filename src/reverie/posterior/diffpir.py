"""Plug-and-play restoration."""

from dataclasses import dataclass

import torch

from ..samplers.base import Cost
from ..samplers.renewal import renewed, share
from .base import PosteriorSampler
from .operators.base import told


@dataclass(frozen=True, eq=False)
class DiffPIR(PosteriorSampler):
    """The guess is a prior, and what is nearest to both it and y takes its place; then a share of the noise is drawn anew.

        x_0 = argmin |y - A x|^2 / std_y^2 + lambda alpha_t^2 / sigma_t^2 |x - x_hat|^2
        x_s = alpha_s x_0 + sigma_s (sqrt(1 - zeta) eps(x_0) + sqrt(zeta) z)

    `weight` is the paper's lambda. Zhu et al. 2023, https://arxiv.org/abs/2305.08995
    """

    weight: float = 8.0
    zeta: float = 0.3

    def __post_init__(self):
        super().__post_init__()
        share("weight", self.weight)
        share("zeta", self.zeta, 1)

    @property
    def evaluations(self):
        return Cost()

    def step(self, denoiser, x_t, t, s, memory, noise):
        estimate = denoiser(x_t, t)
        spectrum, known = self.seen(x_t)
        alpha_t, sigma_t = denoiser.schedule(t)
        s_2, rho = told(x_t, spectrum.s**2, self.weight * self.std_y**2 * (alpha_t / sigma_t) ** 2)
        nearer = torch.where(s_2 > 0, s_2 / (s_2 + rho), 0)
        x_0 = estimate.x_hat + spectrum.back(nearer * (known - spectrum.to(estimate.x_hat)))
        kept = torch.tensor(1 - self.zeta, dtype=torch.float64).sqrt()
        mean, std = renewed(denoiser.schedule, estimate._replace(x_hat=x_0, eps_hat=None), x_t, t, s, kept)
        return mean + std * noise.draw(x_t, t, s), memory
