"""Euler's method."""

from dataclasses import dataclass

import torch

from ..core.schedules import onto
from .base import Sampler
from .churn import EVERYWHERE, churned


@dataclass(frozen=True)
class Euler(Sampler):
    """Euler's method for dx = x_hat dalpha + eps_hat dsigma, after an optional churn:

        x_s = x_t + (alpha_s - alpha_t) x_hat + (sigma_s - sigma_t) eps_hat = alpha_s x_hat + sigma_s eps_hat

    Without churn this is DDIM on every schedule, and Karras et al.'s where alpha = 1. Regular at both ends.
    Karras et al. 2022, https://arxiv.org/abs/2206.00364, algorithm 2 without its correction
    """

    churn: float = 0.0
    interval: tuple[float, float] = EVERYWHERE
    order = 1

    @classmethod
    def variants(cls):
        return cls(), cls(churn=0.5)

    @property
    def stochastic(self):
        return self.churn > 0

    @property
    def weak(self):
        return self.churn > 0

    def step(self, denoiser, x_t, t, s, memory, noise):
        top = t if memory is None else memory
        x_t, t = churned(denoiser.schedule, x_t, t, s, top, self.churn, self.interval, noise)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = denoiser.schedule(t), denoiser.schedule(s)
        estimate = denoiser(x_t, t)
        a, b = onto(x_t, alpha_s, sigma_s)
        return a * estimate.x_hat + b * estimate.eps(x_t, alpha_t, sigma_t), torch.maximum(top, t)
