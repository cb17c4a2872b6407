"""Euler-Maruyama for the reverse SDE."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.schedules import onto
from .base import Sampler
from .renewal import share


@dataclass(frozen=True)
class EulerMaruyama(Sampler):
    """The Euler-Maruyama method for the reverse SDE of any diffusion eta(t) g(t), in differences of alpha, sigma and h:

        dx = x_hat dalpha + eps_hat dsigma - eta^2 sigma eps_hat dh + eta sigma sqrt(2) dw,    h = log(alpha / sigma)
        x_s = alpha_s x_hat + (sigma_s - eta^2 sigma_t h) eps_hat + std z,    std = eta sigma_t sqrt(2 h)

    `eta` is a number, or a function of time: a frozen object that is called. 0 is Euler's method, 1 Anderson's
    reversal. Where a step would draw more noise than there is at s, std > sigma_s, it draws all of it anew instead,
    alpha_s x_hat + sigma_s z: so it is regular from alpha_t = 0 and to sigma_s = 0, where h is infinite.
    Song et al. 2020, https://arxiv.org/abs/2011.13456; `core.sdes` has the drift and the diffusion
    """

    eta: float | Callable[[Tensor], Tensor] = 1.0
    order = 1

    def __post_init__(self):
        if not callable(self.eta):
            share("eta", self.eta)

    @property
    def stochastic(self):
        return callable(self.eta) or self.eta > 0

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        eta = torch.as_tensor(self.eta(t) if callable(self.eta) else self.eta, dtype=torch.float64)
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        lost = torch.where(eta > 0, eta**2 * sigma_t * h, 0)
        std = (2 * sigma_t * lost).sqrt()
        kept, std = torch.where(std < sigma_s, sigma_s - lost, 0), torch.minimum(std, sigma_s)
        a, kept, std = onto(x_t, alpha_s, torch.where(lost > 0, kept, sigma_s), std)
        return a * estimate.x_hat + kept * estimate.eps(x_t, alpha_t, sigma_t), std

    def step(self, denoiser, x_t, t, s, memory, noise):
        mean, std = self.transition(denoiser.schedule, denoiser(x_t, t), x_t, t, s)
        return mean + std * noise.draw(x_t, t, s) if self.stochastic else mean, memory
