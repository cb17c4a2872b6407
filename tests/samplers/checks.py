"""The contracts of samplers, each as quick as can be: what a sampler with a halved term must break."""

import math
import sys
from itertools import zip_longest

import torch
from measures import (
    COSINE,
    EXPLODING,
    RECTIFIED,
    Bell,
    Bumps,
    Silence,
    error_from_exact_history,
    error_of_a_step,
    error_of_the_marginal,
    greatest_slope,
    order_of_a_step,
    slack,
    uneven,
)

from reverie.core import grids
from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Seeded


class Point(Denoiser):
    """One point of data."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def forward(self, x_t, t):
        return Estimate(torch.full_like(x_t, 0.7))


SECOND = ("DPM2Ancestral", "DPMpp2MSDE", "DPMpp3MSDE", "DPMppSDE", "ERSDE", "SASolver")
"""Of first order along a Brownian path, and of second for mean and spread, as they say."""


def promised(sampler) -> int:
    """The order that a sampler shows from exact history: those that correct with the new guess say one more, up to 5,
    past which rounding is all that is left to see.
    """
    corrects = type(sampler).__name__ in ("UniPC", "AdamsMoulton") or getattr(sampler, "corrected", False)
    return sampler.order + (corrects and sampler.order < 5)


def is_exact_on_a_point(sampler):
    point, x = Point(RECTIFIED), torch.tensor([[-1.0], [2.0]], dtype=torch.float64)
    for state in sampler.trajectory(point, x, grids.Uniform(3)(RECTIFIED), Seeded(range(2))):
        flow = (1 - state.t) * 0.7 + state.t * x
        assert sampler.stochastic or (state.x_t - flow).abs().max() < 1e-9
    assert (state.x_t - 0.7).abs().max() < 1e-9


def costs_what_it_declares(sampler):
    for grid in (grids.Uniform(3)(COSINE), grids.Uniform(3, first=0.9, stop=0.1)(COSINE)):
        *_, state = sampler.trajectory(Bell(COSINE), torch.zeros(1, 1).double(), grid, Seeded([0]))
        assert state.evaluations == sampler.evaluations.total(COSINE, grid)


def starts_with_the_orders_that_its_past_allows(sampler):
    for history in range(sampler.order + 1):
        error = lambda n: error_of_a_step(sampler, Bumps(RECTIFIED), history, 1 / n)
        wanted = min(history + 1, order_of_a_step(sampler)) + 1 - 0.3
        assert greatest_slope(error, (4, 8, 16, 32), wanted) >= wanted


def converges_with_its_order(sampler):
    error = lambda n: error_from_exact_history(sampler, Bumps(EXPLODING), uneven(n, EXPLODING))
    wanted = promised(sampler) - slack(promised(sampler))
    assert greatest_slope(error, (32, 64, 128, 256), wanted) >= wanted


def leaves_the_right_spread(sampler):
    error = lambda n: error_of_the_marginal(sampler, Bell(RECTIFIED), uneven(n, RECTIFIED))
    second = (
        type(sampler).__name__ in SECOND and getattr(sampler, "degree", 2) > 1 and getattr(sampler, "predictor", 2) > 1
    )
    wanted = (2 if second else sampler.order) - 0.25
    assert greatest_slope(error, (16, 32, 64, 128, 256), wanted) >= wanted


def reaches_the_data(sampler):
    errors = [error_of_the_marginal(sampler, Bell(COSINE), grids.Uniform(n)(COSINE)) for n in (50, 200)]
    assert errors[1] < 1e-4 or math.log(errors[0] / errors[1]) / math.log(4) >= (0.6 if sampler.order == 1 else 1.2)


def keeps_pure_noise_noise(sampler):
    """After one short step from alpha = 0 the spread is still nearly all noise: nothing later would show it."""
    assert error_of_the_marginal(sampler, Bell(COSINE), grids.Uniform(1, stop=0.9)(COSINE)) < 0.1


class Ramp(Denoiser):
    """A guess that depends on time alone, and is linear on some clock of log(sigma / alpha)."""

    def __init__(self, clock):
        super().__init__()
        self.schedule, self.clock, self.asked = RECTIFIED, clock, []

    def forward(self, x_t, t):
        self.asked.append(self.schedule.log_snr(t))
        return Estimate(torch.full_like(x_t, 0.3) + 0.5 * self.clock(self.schedule.log_snr(t) / -2))


CLOCKS = {"AdamsBashforth": torch.clone, "DPMpp3MSDE": torch.clone, "ERSDE": torch.exp}
"""On which some samplers integrate a linear guess exactly."""


def is_exact_on_a_ramp(sampler):
    """In the mean, after one step remembered: a step and its two halves end at one place."""
    d, x, silence = Ramp(CLOCKS[type(sampler).__name__]), torch.ones(1, 1).double(), Silence(1)
    way = torch.tensor([0.7, 0.6, 0.5, 0.4], dtype=torch.float64)
    ends = [sampler(d, x, grid, silence) for grid in (way, way[[0, 1, 3]])]
    assert (ends[0] - ends[1]).abs() < 1e-9


def takes_back_a_share_of_the_step(sampler):
    """From the second step on, for none goes above the grid: the denoiser is asked where the churn has led."""
    d, grid = Ramp(torch.clone), RECTIFIED.time(torch.linspace(-2, 2, 6, dtype=torch.float64))
    sampler(d, torch.ones(1, 1).double(), grid, Silence(1))
    per_step = sampler.evaluations.step
    asked = torch.stack(d.asked[per_step::per_step])
    assert (asked - torch.linspace(-1.2, 1.2, 4) + 0.8 * sampler.churn).abs().max() < 1e-6


def extrapolates_to_the_data(sampler):
    """The step to them after so many exact ones, x_hat being a smooth function of sigma^2."""
    nodes = torch.arange(sampler.order, -1, -1, dtype=torch.float64)
    time = lambda sigma: torch.where(sigma > 0, EXPLODING.time(-2 * sigma.log()), 0)
    error = lambda n: error_from_exact_history(sampler, Bumps(EXPLODING), time(nodes / n), sampler.order - 1)
    wanted = 2 * sampler.order - 0.5
    assert greatest_slope(error, (20, 40, 80), wanted) >= wanted


def tells_how_far_the_lower_order_is(sampler):
    module = sys.modules[type(sampler).__module__]
    known = sys.modules[module.runge_kutta.__module__]
    low = {2: known.EULER, 3: known.MIDPOINT}[sampler.pair]
    t, s, x = torch.tensor(0.6), torch.tensor(0.5), torch.ones(1, 1).double()
    high, low = (known.runge_kutta(one, Bumps(RECTIFIED), x, t, s) for one in (module.PAIRS[sampler.pair], low))
    assert (high.error - (high.x_s - low.x_s)).abs().max() < 1e-9 < high.error.abs().max()


def contracts(sampler):
    """From the quickest to the slowest."""
    name = type(sampler).__name__
    if name == "Adaptive":
        yield tells_how_far_the_lower_order_is
        return
    yield is_exact_on_a_point
    if name not in ("ReverseDiffusion", "PredictorCorrector"):  # whose published step adds to it
        yield keeps_pure_noise_noise
    yield costs_what_it_declares
    on_x_hat = getattr(sampler, "on", "x_hat") == "x_hat"
    if name in CLOCKS and on_x_hat and getattr(sampler, "degree", 2) > 1:
        yield is_exact_on_a_ramp
    if name == "AdamsBashforth" and on_x_hat:
        yield extrapolates_to_the_data
    if getattr(sampler, "churn", 0):
        yield takes_back_a_share_of_the_step
    if sampler.stochastic:
        yield leaves_the_right_spread
    else:
        yield starts_with_the_orders_that_its_past_allows
        yield converges_with_its_order
    yield reaches_the_data


def broken(samplers):
    """The first contract that one of the samplers breaks; None where all keep all."""
    for row in zip_longest(*([(contract, sampler) for contract in contracts(sampler)] for sampler in samplers)):
        for contract, sampler in filter(None, row):
            try:
                contract(sampler)
            except Exception:
                return contract.__name__
    return None
