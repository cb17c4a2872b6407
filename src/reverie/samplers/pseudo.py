"""Pseudo numerical methods: a classical method's average of the noise, carried by DDIM's step.

    x_s = alpha_s / alpha_t x_t + (sigma_s - alpha_s sigma_t / alpha_t) eps'

The average is over time and the step over sigma / alpha, so that they converge as order 2 whatever the method's own.
They are for grids that are smooth in time: on geometric ones, such as even log-SNR on Laplace's schedule, the oldest
guesses are left out, down to DDIM's step.
Liu et al. 2022, https://arxiv.org/abs/2202.09778
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.schedules import Schedule, onto
from .base import pure_noise
from .exponential import integrals
from .history import Guess, corrected_by_latest, ddim


def transfer(schedule: Schedule, now: Guess, eps: Tensor, s: Tensor) -> Tensor:
    """x_s, with eps in place of the noise guessed at t; DDIM's step from pure noise, where the other is infinite."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(now.t), schedule(s)
    x_s = ddim(schedule, now, s)
    if pure_noise(schedule, now.t):
        return x_s
    (change,) = onto(x_s, sigma_s - alpha_s * sigma_t / alpha_t)
    return x_s + change * (eps - now.eps)


def multistep(schedule: Schedule, past: Sequence[Guess], s: Tensor) -> Tensor:
    """x_s, with Adams and Bashforth's average of the noise in time: (55, -59, 37, -9) / 24 on even steps."""
    now = past[0]
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(now.t), schedule(s)
    base, change = ddim(schedule, now, s), sigma_s - alpha_s * sigma_t / alpha_t

    def weights(times: Tensor) -> tuple[Tensor, Tensor]:
        on_eps = change * integrals(times, now.t, s, torch.ones_like) / (s - now.t)
        return 0 * on_eps, on_eps

    return base if pure_noise(schedule, now.t) else corrected_by_latest(base, past, weights)


def runge_kutta_average(denoiser, now: Guess, s: Tensor) -> Tensor:
    """The average of the noise over a step, by the classical Runge-Kutta method in time; three evaluations."""
    total, eps, t = now.eps / 6, now.eps, now.t
    for u, share in (((t + s) / 2, 1 / 3), ((t + s) / 2, 1 / 3), (s, 1 / 6)):
        x_u = transfer(denoiser.schedule, now, eps, u)
        eps = denoiser(x_u, u).eps(x_u, *denoiser.schedule(u))
        total = total + share * eps
    return total
