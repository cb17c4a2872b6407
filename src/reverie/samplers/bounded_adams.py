"""Adams methods in a clock that is bounded at both ends."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.schedules import Schedule, onto
from .adams_moulton import Memory
from .base import Sampler, pure_noise
from .exponential import integrals
from .forms import FORMS, require
from .history import corrected, ddim, guess


def clock(schedule: Schedule, t: Tensor) -> Tensor:
    """u with sigma / alpha = (u / (1 - u))^3: 0 at the data, 1 where alpha = 0, half way where alpha = sigma."""
    return torch.sigmoid(-schedule.log_snr(t) / 6)


def on_noise(u: Tensor) -> tuple[Tensor, Tensor]:
    """What multiplies x_hat and eps in d(x / alpha) / du = eps d(sigma / alpha) / du."""
    return 0 * u, 3 * u**2 / (1 - u) ** 4


def on_velocity(u: Tensor) -> tuple[Tensor, Tensor]:
    """The same of d(x / r) / du = (cos(a) eps - sin(a) x_hat) da / du, (alpha, sigma) = r (cos(a), sin(a))."""
    alpha, sigma = (1 - u) ** 3, u**3
    square = alpha**2 + sigma**2
    slope = 3 * (u * (1 - u)) ** 2 / square**1.5
    return -sigma * slope, alpha * slope


DENSITIES = {"noise": on_noise, "velocity": on_velocity}
MOST = 40.0
"""Of the sum of the weights' sizes over the size of their sum; alternating steps of ratio 3.3 reach 30 for order 5."""


@dataclass(frozen=True)
class BoundedAdams(Sampler):
    """Interpolates the last `order` guesses in a clock u in which they are smooth at both ends, and integrates exactly.

        sigma / alpha = (u / (1 - u))^3,   d(x / alpha) = eps d(sigma / alpha)
        x_s = alpha_s x_hat + sigma_s eps + alpha_s sum_i (eps_i - eps) int L_i(u) 3 u^2 / (1 - u)^4 du,   u from u_t to u_s

    In log-SNR a polynomial of high order runs off where guesses are flat, far out; in sigma / alpha it sees the data's end
    alone. On "velocity" x_hat and eps are interpolated both, as in `AdamsBashforth`, and a guess in pure noise counts.
    `corrected`, the guess at s mends the step that led there, as in `AdamsMoulton`: from an exact past it then converges
    with order + 1. Starts with lower orders, and leaves out the oldest guesses where steps are too uneven.
    Zhang & Chen 2022, https://arxiv.org/abs/2204.13902; Zhao et al. 2023, https://arxiv.org/abs/2302.04867
    """

    order: int = 5
    on: str = "noise"
    corrected: bool = False

    def __post_init__(self):
        require(order=(self.order, range(1, 6)), on=(self.on, DENSITIES))

    @classmethod
    def variants(cls):
        return cls(), cls(3), cls(3, "velocity", corrected=True), cls(on="velocity", corrected=True)

    def init(self):
        return Memory()

    def mended(self, schedule: Schedule, base: Tensor, past, t: Tensor, s: Tensor) -> Tensor:
        """x_s of the step from t, its DDIM step `base` corrected by old guesses; past[0] is the one at t."""
        (start, stop), (alpha_s, sigma_s) = (clock(schedule, c) for c in (t, s)), schedule(s)
        r_s = alpha_s if self.on == "noise" else torch.hypot(alpha_s, sigma_s)
        while len(past) > 1:
            nodes = clock(schedule, torch.stack([old.t for old in past]))
            parts = (lambda u, i=i: DENSITIES[self.on](u)[i] for i in (0, 1))
            weights = [r_s * integrals(nodes, start, stop, part) for part in parts]
            if all(w.abs().sum() <= MOST * w.sum().abs() for w in weights):
                return corrected(base, past, *weights)
            past = past[:-1]
        return base

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now, form = denoiser.schedule, guess(denoiser, x_t, t), FORMS[self.on](1.0)
        base, past = ddim(schedule, now, s), form.usable(schedule, memory.past)
        near = past and (
            pure_noise(schedule, past[0].t) or schedule.log_snr(t) - schedule.log_snr(past[0].t) < 2 * form.longest
        )
        if self.corrected and near and memory.base is not None:
            x_c = self.mended(schedule, memory.base, (past[0], now, *past[1:]), past[0].t, t)
            base = base + onto(x_t, form.carry(schedule, t, s))[0] * (x_c - x_t)
        x_s = self.mended(schedule, base, (now, *past)[: self.order], t, s)
        return x_s, Memory((now, *past)[: self.order], base)
