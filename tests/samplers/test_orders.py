"""Every sampler has the order that it declares: to the flow from exact history, and in the spread that it leaves."""

import math

import pytest
import torch
from measures import (
    COSINE,
    EXPLODING,
    GRIDS,
    RECTIFIED,
    Bell,
    Bumps,
    error_from_exact_history,
    error_of_a_step,
    error_of_the_marginal,
    gaps_along_a_path,
    greatest_slope,
    order_of_a_step,
    slack,
)
from truth import SAMPLERS

from reverie.core.oracles import Normal

each_schedule = pytest.mark.parametrize("schedule", [COSINE, RECTIFIED, EXPLODING], ids=lambda s: repr(s.schedule))
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.__name__)
DETERMINISTIC = [s for s in SAMPLERS if not s.stochastic]
STOCHASTIC = [s for s in SAMPLERS if s.stochastic]


@each_schedule
@each_grid
@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=repr)
def test_order_of_convergence_to_the_flow_from_exact_history(sampler, grid, schedule):
    """The slope of 128 to 256 steps or of 256 to 512, whichever is greater."""
    error = lambda n: error_from_exact_history(sampler, Bumps(schedule), grid(n, schedule))
    wanted = sampler.order - slack(sampler.order)
    assert greatest_slope(error, (128, 256, 512), wanted) >= wanted


@pytest.mark.parametrize("sampler", DETERMINISTIC, ids=repr)
def test_a_step_after_few_is_of_as_high_an_order_as_they_allow(sampler):
    """With k steps remembered, an error of h^(min(k + 1, order) + 1): the start of a multistep method is right too."""
    for history in range(sampler.order + 1):
        error = lambda n: error_of_a_step(sampler, Bumps(RECTIFIED), history, 1 / n)
        wanted = min(history + 1, order_of_a_step(sampler)) + 1
        assert greatest_slope(error, (4, 8, 16, 32), wanted - 0.3) >= wanted - 0.3, history


@each_schedule
@each_grid
@pytest.mark.parametrize("sampler", STOCHASTIC, ids=repr)
def test_mean_and_spread_of_gaussian_data_converge_without_a_draw(sampler, grid, schedule):
    """By propagation of probed coefficients, no Monte Carlo."""
    error = lambda n: error_of_the_marginal(sampler, Bell(schedule), grid(n, schedule))
    wanted = sampler.order - slack(sampler.order)
    assert greatest_slope(error, (32, 64, 128, 256), wanted) >= wanted


@pytest.mark.parametrize("sampler", [s for s in STOCHASTIC if not s.weak], ids=repr)
def test_order_of_convergence_along_a_brownian_path(sampler):
    gaps = list(gaps_along_a_path(sampler, (16, 32, 64, 128)))
    assert math.log2(gaps[0] / gaps[-1]) / 2 >= sampler.order - 0.25, gaps


@each_schedule
def test_the_quick_data_of_these_tests_are_the_oracles(schedule):
    x, t = torch.randn(5, 1, dtype=torch.float64), torch.tensor(0.37, dtype=torch.float64)
    bumps, bell = Bumps(schedule), Bell(schedule)
    torch.testing.assert_close(bumps(x, t), bumps.mixture(x, t), rtol=1e-12, atol=1e-12)
    mean, variance = torch.tensor([0.4], dtype=torch.float64), torch.tensor([[0.25]])
    normal = Normal(schedule.schedule, mean, variance)
    torch.testing.assert_close(bell(x, t), normal(x, t), rtol=1e-12, atol=1e-12)
    m, v = normal.marginal(t)
    assert bell.marginal(t) == pytest.approx((m.item(), v.item()), abs=1e-12)
