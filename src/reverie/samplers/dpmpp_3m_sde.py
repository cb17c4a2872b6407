"""SDE-DPM-Solver++(3M)."""

from dataclasses import dataclass

import torch

from ..core.denoisers import Estimate
from .base import Sampler
from .forms import OnXHat
from .history import corrected, guess
from .renewal import remaining, renewed, share, weights_on_x_hat


@dataclass(frozen=True)
class DPMpp3MSDE(Sampler):
    """SDE-DPM-Solver++ of first order, and the integral of the parabola through the last three guesses:

        x_s = alpha_s x_hat + sigma_s (k eps_hat + sqrt(1 - k^2) z) + alpha_s sum_i w_i (x_hat_i - x_hat)
        w_i = (1 + eta^2) int e^((1 + eta^2) (lambda - lambda_s)) L_i(lambda) dlambda,    k = e^(-eta^2 h)

    with lambda = log(alpha / sigma). In the published form the second difference lacks a factor 2, and with eta = 0 it
    is of second order; here eta = 0 is DPM-Solver++(3M), of third. With eta > 0 the order is 1 along a Brownian path,
    whose turns between two times no guess knows, and 2 for mean and spread (tested). Begins with the lower orders. A
    guess at alpha = 0 is left out; x_0 = x_hat, extrapolated where eta = 0. k-diffusion's eta is the square of this one.
    Lu et al. 2022, https://arxiv.org/abs/2211.01095; Crowson 2023, https://github.com/crowsonkb/k-diffusion
    """

    eta: float = 1.0

    def __post_init__(self):
        share("eta", self.eta)

    @property
    def order(self):
        return 1 if self.eta else 3

    @property
    def stochastic(self):
        return self.eta > 0

    def init(self):
        return ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        past = (now, *OnXHat().usable(schedule, memory))
        kept = remaining(schedule, t, s, self.eta)
        x_s, std = renewed(schedule, Estimate(now.x_hat, now.eps), x_t, t, s, kept)
        if len(past) > 1:
            w = weights_on_x_hat(schedule, torch.stack([old.t for old in past]), t, s, self.eta)
            x_s = corrected(x_s, past, w, 0 * w)
        return x_s + std * noise.draw(x_t, t, s) if self.eta else x_s, past[:2]
