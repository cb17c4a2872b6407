"""Heun's method."""

from dataclasses import dataclass

import torch

from ..core.schedules import onto
from .base import Cost, Sampler
from .churn import EVERYWHERE, churned


@dataclass(frozen=True)
class Heun(Sampler):
    """The trapezoidal rule for dx = x_hat dalpha + eps_hat dsigma, from a DDIM step, after an optional churn.

        x_s = alpha_s x_hat_t + sigma_s eps_t
            + (alpha_s - alpha_t) (x_hat_s - x_hat_t) / 2 + (sigma_s - sigma_t) (eps_s - eps_t) / 2

    Regular where alpha_t = 0; the step to sigma_s = 0, where eps_s is unknown, is DDIM's.
    Karras et al. 2022, https://arxiv.org/abs/2206.00364, where alpha = 1
    """

    churn: float = 0.0
    interval: tuple[float, float] = EVERYWHERE
    order = 2

    @classmethod
    def variants(cls):
        return cls(), cls(churn=0.5)

    @property
    def stochastic(self):
        return self.churn > 0

    @property
    def weak(self):
        return self.churn > 0

    @property
    def evaluations(self):
        return Cost(2, to_data=1)

    def step(self, denoiser, x_t, t, s, memory, noise):
        top = t if memory is None else memory
        x_t, t = churned(denoiser.schedule, x_t, t, s, top, self.churn, self.interval, noise)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = denoiser.schedule(t), denoiser.schedule(s)
        a, b, da, db = onto(x_t, alpha_s, sigma_s, alpha_s - alpha_t, sigma_s - sigma_t)
        guess_t = denoiser(x_t, t)
        eps_t = guess_t.eps(x_t, alpha_t, sigma_t)
        x_s = a * guess_t.x_hat + b * eps_t
        if s == 0:
            return x_s, torch.maximum(top, t)
        guess_s = denoiser(x_s, s)
        eps_s = guess_s.eps(x_s, alpha_s, sigma_s)
        x_s = x_s + (da * (guess_s.x_hat - guess_t.x_hat) + db * (eps_s - eps_t)) / 2
        return x_s, torch.maximum(top, t)
