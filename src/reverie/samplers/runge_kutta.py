"""Explicit Runge-Kutta methods for what DDIM's step leaves over of the flow, regular at both ends.

With the angle a = atan(sigma / alpha), r^2 = alpha^2 + sigma^2 and the guess (x_hat_t, eps_t) at the start,

    x_a = r (cos(a) x_hat_t + sin(a) eps_t + z),    dz / da = cos(a) (eps - eps_t) - sin(a) (x_hat - x_hat_t),    z_t = 0

so that a constant guess costs no error, whatever the tableau, and no coefficient is infinite. A tableau that asks for
no guess at the end of its step (no c = 1) can go to sigma = 0, where there is no noise to guess.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import Schedule, onto
from .history import Guess, guess


class Tableau(NamedTuple):
    """Of Butcher; `low` are the weights of a solution of lower order, whose difference tells the error."""

    order: int
    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    low: tuple[float, ...] | None = None


EULER = Tableau(1, (0,), ((),), (1,))
MIDPOINT = Tableau(2, (0, 1 / 2), ((), (1 / 2,)), (0, 1), (1, 0))
BOGACKI_SHAMPINE = Tableau(3, (0, 1 / 2, 3 / 4), ((), (1 / 2,), (0, 3 / 4)), (2 / 9, 1 / 3, 4 / 9), (0, 1, 0))
"""Without their fourth stage, at c = 1; the lower solution is the midpoint rule. https://doi.org/10.1016/0893-9659(89)90079-7"""
CLASSICAL = Tableau(4, (0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
BY_ORDER = {one.order: one for one in (EULER, MIDPOINT, BOGACKI_SHAMPINE, CLASSICAL)}


class Outcome(NamedTuple):
    x_s: Tensor
    error: Tensor
    """x_s less the solution of lower order; 0 where the tableau has none."""
    first: Guess
    """At t."""


def angle(schedule: Schedule, t: Tensor) -> Tensor:
    alpha, sigma = schedule(t)
    return torch.atan2(sigma, alpha)


def time(schedule: Schedule, angle: Tensor) -> Tensor:
    """The time at which the schedule has that angle, strictly between 0 and pi / 2."""
    return schedule.time(-2 * angle.tan().log())


def moved(schedule: Schedule, first: Guess, u: Tensor, z: Tensor) -> Tensor:
    """x_u = r (cos(a) x_hat_t + sin(a) eps_t + z)."""
    (alpha, sigma) = schedule(u)
    alpha, sigma, r = onto(z, alpha, sigma, torch.hypot(alpha, sigma))
    return alpha * first.x_hat + sigma * first.eps + r * z


def slope(denoiser: Denoiser, first: Guess, x_u: Tensor, u: Tensor) -> Tensor:
    """dz / da at x_u (B, *)."""
    here, a = guess(denoiser, x_u, u), angle(denoiser.schedule, u)
    cos, sin = onto(x_u, a.cos(), a.sin())
    return cos * (here.eps - first.eps) - sin * (here.x_hat - first.x_hat)


def runge_kutta(
    tableau: Tableau, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, first: Guess | None = None
) -> Outcome:
    """One step from t to s, both `()` or (B,); `first` where the guess at t is known already."""
    schedule, first = denoiser.schedule, first or guess(denoiser, x_t, t)
    start, stop = angle(schedule, t), angle(schedule, s)
    (length,) = onto(x_t, stop - start)
    slopes = [torch.zeros_like(x_t)]
    total = lambda row: length * sum(weight * one for weight, one in zip(row, slopes))
    for c, row in zip(tableau.c[1:], tableau.a[1:]):
        u = s if c == 1 else time(schedule, start + c * (stop - start))
        slopes.append(slope(denoiser, first, moved(schedule, first, u, total(row)), u))
    x_s = moved(schedule, first, s, total(tableau.b))
    return Outcome(x_s, x_s - moved(schedule, first, s, total(tableau.low or tableau.b)), first)
