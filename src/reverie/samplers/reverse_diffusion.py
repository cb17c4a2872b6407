"""The reverse-diffusion predictor."""

from dataclasses import dataclass

import torch

from ..core.processes import Gaussian
from ..core.schedules import onto
from .base import Sampler


@dataclass(frozen=True)
class ReverseDiffusion(Sampler):
    """The forward step x_t = a x_s + b z, its drift and noise turned round: a = alpha_t / alpha_s, b its deviation.

        x_s = (2 - a) x_t + b^2 score + b z
            = alpha_s (1 - (1 - a)^2) x_hat + ((2 - a) sigma_t - b^2 / sigma_t) eps_hat + b z

    Finite from alpha_t = 0, though twice the right spread there, which later steps undo: the first step's error
    counts with alpha_s. The step to the data, s = 0, is x_hat.
    Song et al. 2020, https://arxiv.org/abs/2011.13456, appendix E
    """

    order = 1
    stochastic = True

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        a, (_, b) = alpha_t / alpha_s, Gaussian(schedule).bounds(t, s)
        of_x, of_eps = alpha_s * (1 - (1 - a) ** 2), (2 - a) * sigma_t - b**2 / sigma_t
        end = sigma_s == 0
        of_x, of_eps, b = onto(
            x_t, torch.where(end, alpha_s, of_x), torch.where(end, 0, of_eps), torch.where(end, 0, b)
        )
        return of_x * estimate.x_hat + of_eps * estimate.eps(x_t, alpha_t, sigma_t), b

    def step(self, denoiser, x_t, t, s, memory, noise):
        mean, std = self.transition(denoiser.schedule, denoiser(x_t, t), x_t, t, s)
        return mean + std * noise.draw(x_t, t, s), memory
