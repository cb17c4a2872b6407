"""DPM-2."""

from dataclasses import dataclass

from ..core.schedules import onto
from .base import Cost, Sampler, pure_noise
from .history import ddim, guess


@dataclass(frozen=True)
class DPM2(Sampler):
    """The midpoint rule for d(x / alpha) = eps d(sigma / alpha), its middle u halfway in log-SNR.

        x_s = alpha_s / alpha_t x_t + (sigma_s - alpha_s sigma_t / alpha_t) eps_u,    x_u by DDIM

    On alpha = 1 this is k-diffusion's, and everywhere DPM-Solver-2's step. From alpha = 0 and to the data, which have
    no middle, the step is DDIM's. Karras et al. 2022, https://arxiv.org/abs/2206.00364, without churn
    """

    order = 2

    @property
    def evaluations(self):
        return Cost(2, from_noise=1, to_data=1)

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
        x_s = ddim(schedule, now, s)
        if pure_noise(schedule, t) or s == 0:
            return x_s, memory
        u = schedule.time((schedule.log_snr(t) + schedule.log_snr(s)) / 2)
        (change,) = onto(x_t, sigma_s - alpha_s * sigma_t / alpha_t)
        return x_s + change * (guess(denoiser, ddim(schedule, now, u), u).eps - now.eps), memory
