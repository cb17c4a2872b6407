"""DPM-Solver++(3M)."""

from dataclasses import dataclass

import torch

from ..core.schedules import onto
from .base import Sampler
from .exponential import phi
from .forms import OnXHat
from .history import corrected, ddim, guess


@dataclass(frozen=True)
class DPMpp3M(Sampler):
    """Three-step exponential integrator on x_hat: DDIM, and the guess's first and second derivative in lambda.

        x_s = alpha_s x_hat + sigma_s eps + alpha_s (h^2 phi_2(-h) x_hat' + h^3 phi_3(-h) x_hat'')
        d_0 = (x_hat - x_hat_1) / h_0,   d_1 = (x_hat_1 - x_hat_2) / h_1,   x_hat'' = 2 (d_0 - d_1) / (h_0 + h_1)
        x_hat' = d_0 + h_0 (d_0 - d_1) / (h_0 + h_1)

    The 2 in x_hat'' is missing in the implementations that are copied, and with it their third order. The second step
    has one derivative, the first none. A guess at alpha = 0 is left out; to the data x_hat is extrapolated in
    (sigma / alpha)^2. Started so it converges as order 2 to 3. Lu et al. 2022, https://arxiv.org/abs/2211.01095
    """

    order = 3

    def init(self):
        return ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        past = (now, *OnXHat().usable(schedule, memory))
        x_s, times = ddim(schedule, now, s), torch.stack([old.t for old in past])
        if s == 0:
            return corrected(x_s, past, *OnXHat().weights(schedule, times, t, s)), past[:2]
        if len(past) > 1:
            h, (h_0, *h_1) = (schedule.log_snr(s) - schedule.log_snr(t)) / 2, -schedule.log_snr(times).diff() / 2
            first, second = onto(x_t, schedule(s)[0] * h**2 * phi(2, -h), schedule(s)[0] * h**3 * phi(3, -h))
            slope = (now.x_hat - past[1].x_hat) / onto(x_t, h_0)[0]
            x_s = x_s + first * slope
            if h_1:
                slope_1 = (past[1].x_hat - past[2].x_hat) / onto(x_t, h_1[0])[0]
                rise, share = (slope - slope_1) / onto(x_t, h_0 + h_1[0])[0], onto(x_t, h_0)[0]
                x_s = x_s + (first * share + 2 * second) * rise
        return x_s, past[:2]
