"""A sampler asks its denoiser as often as it declares, and `reverie samplers` prints what it declares."""

import pytest
import torch
from click.testing import CliRunner
from measures import COSINE, EXPLODING, Bell
from truth import SAMPLERS

from reverie.cli import samplers as listing
from reverie.core import grids
from reverie.core.noise import Seeded

each_schedule = pytest.mark.parametrize("schedule", [COSINE, EXPLODING], ids=lambda s: repr(s.schedule))
GRIDS = (grids.Uniform(1), grids.Uniform(2), grids.Uniform(7), grids.Uniform(7, first=0.9, stop=0.1))


@each_schedule
@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.evaluations], ids=repr)
def test_evaluations_are_those_declared(sampler, schedule):
    for grid in (grid(schedule) for grid in GRIDS):
        *_, state = sampler.trajectory(Bell(schedule), torch.zeros(2, 1, dtype=torch.float64), grid, Seeded(range(2)))
        assert state.evaluations == sampler.evaluations.total(schedule, grid), grid


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not s.evaluations], ids=repr)
def test_where_each_sample_costs_what_it_needs_each_is_counted(sampler):
    x = torch.linspace(-3, 3, 4, dtype=torch.float64)[:, None]
    grid = grids.Uniform(3)(COSINE)
    *_, state = sampler.trajectory(Bell(COSINE), x, grid, Seeded(range(4)))
    assert state.tally is not None and all(len(count) == 4 for count in state.tally)
    assert state.tally.evaluations.max() <= state.evaluations and state.tally.accepted.min() >= len(grid) - 2
    for i in range(4):
        *_, alone = sampler.trajectory(Bell(COSINE), x[i : i + 1], grid, Seeded([i]))
        assert [int(count[0]) for count in alone.tally] == [int(count[i]) for count in state.tally]


def test_the_command_lists_every_sampler_with_its_cost():
    printed = CliRunner().invoke(listing.command).output
    for sampler in {type(s): s for s in reversed(SAMPLERS)}.values():
        default = type(sampler)()
        assert type(sampler).__name__.lower() in printed
        assert not default.evaluations or str(default.evaluations) in printed
