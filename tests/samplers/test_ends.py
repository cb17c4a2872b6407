"""From pure noise to data, both ends included: mean and spread, in float64, float32 and with networks in bfloat16."""

import math

import pytest
import torch
from measures import (
    COSINE,
    EXPLODING,
    Bell,
    Bumps,
    Remembered,
    affine,
    error_of_the_marginal,
    error_self_started,
    exactly_affine,
    sensitivities,
)
from truth import SAMPLERS, SCHEDULES

from reverie.core import grids
from reverie.core.noise import Seeded
from reverie.samplers.ddim import DDIM
from reverie.samplers.deis import DEIS
from reverie.samplers.ipndm import IPNDM
from reverie.samplers.plms import PLMS
from reverie.samplers.pndm import PNDM

STEPS = (*range(1, 11), 16, 25, 50, 100, 250, 999, 1000)
AFFINE = [s for s in SAMPLERS if exactly_affine(s)]
each_affine = pytest.mark.parametrize("sampler", AFFINE, ids=repr)


@each_affine
@pytest.mark.parametrize(("schedule", "counts"), [(COSINE, STEPS), (EXPLODING, STEPS[:-2])], ids=["Cosine", "VE"])
def test_the_error_of_mean_and_spread_falls_as_the_order_says(sampler, schedule, counts):
    """On grids that are even in time, whatever the number of steps.

    The two steps at the ends do not shrink in log-SNR, where multistep methods work: from order 2 up, the slope is that
    of the ends, between 1.2 and 2. With few steps on the schedule that explodes, DDPM's greater variance leaves 31.
    """
    errors = {n: error_of_the_marginal(sampler, Bell(schedule), grids.Uniform(n)(schedule)) for n in counts}
    last = counts[-1]
    assert all(error < 40 for error in errors.values()) and errors[last] < 0.05, errors
    slope = math.log(errors[50] / errors[last]) / math.log(last / 50)
    assert errors[last] < (1e-3 if sampler.order == 1 else 1e-4) or slope >= (0.7 if sampler.order == 1 else 1.2), (
        slope,
        errors,
    )
    if 999 in errors:
        assert errors[999] == pytest.approx(errors[1000], rel=0.1, abs=1e-6)


@each_affine
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_schedule_is_walked_from_end_to_end(sampler, schedule):
    """The slack is the error that the order leaves after 40 steps."""
    schedule = Remembered(schedule)
    grid = grids.LogSNR(40, -9, 9)(schedule)
    if sampler.stochastic:
        assert error_of_the_marginal(sampler, Bell(schedule), grid) < 0.2
    else:
        assert error_self_started(sampler, Bumps(schedule), grid) < 0.1 / 2 ** (sampler.order - 1)


OVER_A_CLOCK = [IPNDM(), IPNDM(2), PLMS(), PNDM(), *(DEIS(k, over) for k in (2, 3, 4) for over in ("time", "log_snr"))]


@pytest.mark.parametrize("sampler", OVER_A_CLOCK, ids=repr)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_polynomial_on_a_clock_that_is_rough_on_the_grid_is_no_worse_than_none(sampler, schedule):
    """Ten steps, not all of them long or short on every clock. The published weights go as far as 7e11 on Laplace's
    schedule by time, whose log-SNR is a logarithm at both ends, and 2.4 by log-SNR on even times; DDIM's error is 0.25 or less.

    With so few steps a polynomial may miss by a tenth more than no polynomial does; 0.02 is what DDIM's ten leave at best.
    """
    schedule = Remembered(schedule)
    for grid in (grids.Uniform(10), grids.LogSNR(10, -9, 9), grids.Karras(10)):
        plain, error = (error_self_started(one, Bumps(schedule), grid(schedule)) for one in (DDIM(), sampler))
        assert error < 1.1 * plain + 0.02, (grid, error, plain)


@each_affine
@torch.no_grad()
def test_float32_and_bfloat16_networks_agree_with_float64(sampler):
    """At the same steps and noise, the end is off by no more than what rounding does to it.

    A guess of bfloat16 is off by 2^-9 of itself, and no guess here is above 2: the bound is the sum over the guesses of
    what they do to the end, read off by probing. In float32 all else rounds too, and n roundings add up like a walk.
    """
    d = Bell(COSINE)
    x = torch.linspace(-3, 3, 8, dtype=torch.float64)[:, None]
    for n in (*range(1, 11), 16, 50, 250):
        grid = grids.Uniform(n)(COSINE)
        by_difference = type(sampler).__name__ == "Rosenbrock"  # its J is one of two guesses: 1 more is no small change
        weight = 5.0 if by_difference else sensitivities(sampler, d, grid).abs().sum().item()
        assert weight < 5 + 3 * math.log(n) if sampler.order < 3 else weight < 100, (n, weight)
        exact = sampler(d, x, grid, Seeded(range(8)))
        single = sampler(d, x.float(), grid, Seeded(range(8)))
        half = sampler(Bell(COSINE, torch.bfloat16), x.float(), grid, Seeded(range(8)))
        assert single.dtype == half.dtype == torch.float32
        assert (single - exact).abs().max() <= 4 * weight * n**0.5 * 2**-24, n
        assert (half - exact).abs().max() <= 2 * weight * 2**-9, n


@each_affine
def test_no_draw_counts_twice_and_the_start_is_forgotten_as_the_marginal_says(sampler):
    """From alpha = 0 the variance at the end is the data's alone, whatever part of it was drawn on the way."""
    way = affine(sampler, Bell(COSINE), grids.Uniform(250)(COSINE))
    assert way.gain**2 + way.draws.square().sum().item() == pytest.approx(0.25, abs=0.02)
    if not sampler.stochastic:
        assert len(way.draws) == 0
