"""Singlestep DPM-Solvers of diffusers, whose stages stand on the times of their grid, against ours, which find them."""

import math

import pytest
import torch
from measures import Bumps, Remembered, error_self_started, even

from benchmarks.samplers_peers import diffusers_walk
from benchmarks.samplers_problems import log_snr
from reverie.core.schedules import LinearVP
from reverie.samplers.dpm_solver import DPMSolver
from reverie.samplers.dpmpp_singlestep import DPMppS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SCHEDULE = Remembered(LinearVP())
each_kind = pytest.mark.parametrize(("kind", "ours"), [("dpmsolver", DPMSolver), ("dpmsolver++", DPMppS)])


def theirs(kind, order, wide=True):
    """Full order to the end of the grid, which stands above no noise."""
    config = {"algorithm_type": kind, "solver_order": order, "final_sigmas_type": "sigma_min"}
    return diffusers_walk(
        "dpmsolver_singlestep", "DPMSolverSinglestepScheduler", wide, lower_order_final=False, **config
    )


def compared(walk, sampler, grid, wide):
    """Ours takes every `order`-th time; halves and thirds of a step lie between in log-SNR, where the grid is even."""
    d, x = Bumps(SCHEDULE), Bumps(SCHEDULE).at(grid[0]).to(torch.float64 if wide else torch.float32)
    tolerance = 1e-6 if wide else 1e-4
    ends = list(walk(d, x, grid))[sampler.order - 1 :: sampler.order]
    for state, their in zip(sampler.trajectory(d, x, grid[:: sampler.order], None), ends, strict=True):
        torch.testing.assert_close(state.x_t.double(), their.double(), rtol=tolerance, atol=tolerance)


@each_kind
@pytest.mark.parametrize("wide", [True, False], ids=["float64", "as shipped"])
@pytest.mark.parametrize("grid", [even, log_snr], ids=lambda grid: grid.__name__)
def test_second_order_is_theirs_step_by_step(kind, ours, wide, grid):
    compared(theirs(kind, 2, wide), ours(2), grid(24, SCHEDULE), wide)


@each_kind
@pytest.mark.parametrize("wide", [True, False], ids=["float64", "as shipped"])
@pytest.mark.parametrize("grid", [even, log_snr], ids=lambda grid: grid.__name__)
def test_third_order_is_theirs_where_their_middle_stage_is_the_papers(kind, ours, wide, grid, monkeypatch):
    """To two thirds of a step they go by phi_1 / 2, their midpoint rule, where the paper has phi_2, their rule of Heun."""
    from diffusers import DPMSolverSinglestepScheduler as Scheduler

    second = Scheduler.singlestep_dpm_solver_second_order_update

    def by_phi_2(self, *args, **kwargs):
        self.register_to_config(solver_type="heun")
        x = second(self, *args, **kwargs)
        self.register_to_config(solver_type="midpoint")
        return x

    monkeypatch.setattr(Scheduler, "singlestep_dpm_solver_second_order_update", by_phi_2)
    compared(theirs(kind, 3, wide), ours(3), grid(24, SCHEDULE), wide)


@each_kind
def test_their_own_middle_stage_costs_a_term_that_leaves_the_order_three(kind, ours):
    """Whatever the stage, theirs is of third order as it says; so is ours, and the two differ by a term of that order."""
    d = Bumps(SCHEDULE)

    def error(n):
        *_, end = theirs(kind, 3)(d, d.at(even(n, SCHEDULE)[0]), even(n, SCHEDULE))
        return (end - d.at(even(n, SCHEDULE)[-1])).square().mean().sqrt().item()

    assert math.log2(error(192) / error(384)) > 2.75
    mine = [error_self_started(ours(3), d, even(n // 3, SCHEDULE)) for n in (192, 384)]
    assert math.log2(mine[0] / mine[1]) > 2.75
