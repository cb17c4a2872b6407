"""DPM-Solver++(S)."""

from dataclasses import dataclass

from ..core.schedules import onto
from .base import Cost, Sampler, pure_noise
from .exponential import phi
from .forms import require
from .history import ddim, guess


@dataclass(frozen=True)
class DPMppS(Sampler):
    """Singlestep exponential integrator on x_hat: `order` evaluations within a step, nothing remembered.

        2: x_s = D_s + alpha_s h phi_1(-h) (x_hat_1 - x_hat),         x_1 = D_1,  lambda_1 = lambda_t + h / 2
        3: x_s = D_s + alpha_s h phi_2(-h) (x_hat_2 - x_hat) / r_2,   x_1 = D_1,  lambda_i = lambda_t + r_i h,  r = 1/3, 2/3
           x_2 = D_2 + alpha_2 r_2 / r_1 r_2 h phi_2(-r_2 h) (x_hat_1 - x_hat)

    D_u = alpha_u x_hat + sigma_u eps is DDIM's step to u and h = lambda_s - lambda_t. From alpha = 0 and to the data,
    where h is infinite, the step is DDIM's. Lu et al. 2022, https://arxiv.org/abs/2211.01095, algorithm 1
    """

    order: int = 3

    def __post_init__(self):
        require(order=(self.order, (1, 2, 3)))

    @classmethod
    def variants(cls):
        return cls(2), cls(3)

    @property
    def evaluations(self):
        return Cost(self.order, from_noise=1, to_data=1)

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        x_s = ddim(schedule, now, s)
        if self.order == 1 or pure_noise(schedule, t) or s == 0:
            return x_s, memory
        at = lambda r: schedule.time(schedule.log_snr(t) + 2 * r * h)
        u = at(1 / self.order)
        change = guess(denoiser, ddim(schedule, now, u), u).x_hat - now.x_hat
        if self.order == 2:
            (c,) = onto(x_t, schedule(s)[0] * h * phi(1, -h))
            return x_s + c * change, memory
        v = at(2 / 3)
        a, b = onto(x_t, schedule(v)[0] * 2 * (2 / 3 * h) * phi(2, -2 / 3 * h), schedule(s)[0] * 3 / 2 * h * phi(2, -h))
        change = guess(denoiser, ddim(schedule, now, v) + a * change, v).x_hat - now.x_hat
        return x_s + b * change, memory
