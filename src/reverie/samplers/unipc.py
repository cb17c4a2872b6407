"""UniPC."""

from dataclasses import dataclass
from math import factorial

import torch
from torch import Tensor

from ..core.schedules import onto
from .adams_moulton import Memory
from .base import Sampler
from .exponential import phi
from .forms import OnXHat, require
from .history import corrected, ddim, guess


@dataclass(frozen=True)
class UniPC(Sampler):
    """A predictor and a corrector from one formula on x_hat; each guess serves both, so a step costs one evaluation.

        x_s = sigma_s / sigma_t x_t - alpha_s (e^-h - 1) x_hat - alpha_s B sum_i rho_i (x_hat_i - x_hat) / r_i
        sum_i r_i^(k - 1) rho_i = -h k! phi_(k + 1)(-h) / B,   k = 1 ... n,   r_i = (lambda_i - lambda_t) / h

    B = -h (`bh` 1) or e^-h - 1 (2) matters where one difference is known: there rho = 1/2. `order` past guesses
    predict, and the new one corrects: from an exact past it converges with order + 1, started with lower orders as
    order 3 at most. Orders above 2 are for many steps, even in log-SNR: across the wide ones of few, guesses bend more than
    they can follow. A guess in pure noise is not interpolated; to the data x_hat is extrapolated in (sigma / alpha)^2, or,
    with `plain_end`, DDIM's step is taken as in the reference code.
    Zhao et al. 2023, https://arxiv.org/abs/2302.04867
    """

    order: int = 2
    bh: int = 2
    plain_end: bool = False

    def __post_init__(self):
        require(order=(self.order, range(1, 5)), bh=(self.bh, (1, 2)))

    @classmethod
    def variants(cls):
        return cls(), cls(3), cls(4), cls(bh=1)

    def init(self):
        return Memory()

    def weights(self, schedule, times: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """Of x_hat_i at times (n + 1,) the first of which is t; the first weight, which multiplies nothing, is 0."""
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        r = (schedule.log_snr(times[1:]) - schedule.log_snr(t)) / (2 * h)
        B, k = -h if self.bh == 1 else torch.expm1(-h), torch.arange(1, len(times))
        rho = torch.full_like(r, 1 / 2)
        if len(r) > 1:
            moments = torch.stack([-h * factorial(i) * phi(i + 1, -h) / B for i in k.tolist()])
            rho = torch.linalg.solve(r ** (k[:, None] - 1), moments)
        return torch.cat([torch.zeros(1), -schedule(s)[0] * B * rho / r])

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        base, past = ddim(schedule, now, s), OnXHat().usable(schedule, memory.past)
        if past:
            nodes = (past[0], now, *past[1 : self.order])
            weights = self.weights(schedule, torch.stack([old.t for old in nodes]), past[0].t, t)
            (carry,) = onto(x_t, OnXHat().carry(schedule, t, s))
            base = base + carry * (corrected(memory.base, nodes, weights, 0 * weights) - x_t)
        past = (now, *past)
        nodes, x_s = past[: self.order], base
        times = torch.stack([old.t for old in nodes])
        if s == 0 and not self.plain_end:
            x_s = corrected(base, nodes, *OnXHat().weights(schedule, times, t, s))
        elif len(nodes) > 1 and s > 0:
            weights = self.weights(schedule, times, t, s)
            x_s = corrected(base, nodes, weights, 0 * weights)
        return x_s, Memory(past[: max(self.order, 1)], base)
