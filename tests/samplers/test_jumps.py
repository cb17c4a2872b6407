"""Consistency sampling on flow maps that are exact, and Restart, whose grid goes up."""

import math

import pytest
import torch
from click.testing import CliRunner
from measures import COSINE, EXPLODING, Affine, Bell, Probes
from truth import levels, two_bumps

from reverie import samplers
from reverie.cli import samplers as listing
from reverie.core import grids
from reverie.core.flow_maps import Exact
from reverie.core.noise import Seeded
from reverie.core.oracles import Normal
from reverie.core.schedules import VE, Cosine, LinearBetas, Rectified
from reverie.discover import discover, variants
from reverie.samplers.base import Sampler
from reverie.samplers.consistency import Consistency
from reverie.samplers.ddpm import DDPM
from reverie.samplers.euler import Euler
from reverie.samplers.heun import Heun
from reverie.samplers.jumps import Jumps

JUMPS = variants(samplers, Jumps)
each_jump = pytest.mark.parametrize("sampler", JUMPS, ids=repr)


class Unit:
    """Noise whose draw i is one, all others zero."""

    def __init__(self, i):
        self.i, self.draws = i, 0

    def draw(self, like, t=None, s=None):
        self.draws += 1
        return torch.full_like(like, float(self.draws == self.i))


@each_jump
@pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE(), LinearBetas()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_an_exact_flow_map_has_exact_marginals_at_every_time(sampler, schedule, steps):
    """Gaussian data: a trajectory is affine in its start and its draws, so mean and variance are read off by probing."""
    d = Normal(schedule, torch.tensor([0.4]), torch.tensor([[0.25]]))
    grid, flow_map = grids.Uniform(steps)(schedule), Exact(d)

    def walk(start, noise):
        x = torch.full((1, 1), start, dtype=torch.float64)
        return torch.cat([state.x_t for state in sampler.trajectory(flow_map, x, grid, noise)])[:, 0]

    quiet = Unit(0)
    shift = walk(0.0, quiet)
    gains = [walk(1.0, Unit(0)) - shift] + [walk(0.0, Unit(i + 1)) - shift for i in range(quiet.draws)]
    mean, variance = (torch.stack(p).flatten() for p in zip(*(d.marginal(t) for t in grid)))
    torch.testing.assert_close(shift + gains[0] * mean[0], mean[1:], rtol=0, atol=1e-9)
    spread = gains[0] ** 2 * variance[0] + sum(g**2 for g in gains[1:])
    torch.testing.assert_close(spread, variance[1:], rtol=1e-9, atol=1e-9)


@each_jump
def test_every_quantile_of_a_mixture_is_right_in_few_steps(sampler):
    """Within the 99.9 % band of Kolmogorov for 2000 samples, 1.95 / sqrt(n)."""
    d, p = two_bumps(Cosine()), levels(2000)
    x_1 = d.quantile(p, 1.0).reshape(4, 500, 1)
    x = sampler(Exact(d), x_1, grids.Uniform(3)(Cosine()), Seeded(range(4)))
    assert x.isfinite().all()
    gap = d.cdf(x.reshape(-1, 1), 0.0).sort(0).values - p
    assert gap.abs().max() < (1.95 / math.sqrt(2000) if sampler.stochastic else 1e-9)


@each_jump
def test_jumps_do_not_depend_on_the_batch_and_count_their_calls(sampler):
    d, grid = Exact(Normal(Cosine(), torch.zeros(2), torch.eye(2))), grids.Uniform(4)(Cosine())
    x_1 = Seeded(range(4)).draw(torch.empty(4, 2))
    *_, together = sampler.trajectory(d, x_1, grid, Seeded(range(4)))
    alone = sampler(d, x_1[2:3], grid, Seeded([2]))
    torch.testing.assert_close(alone, together.x_t[2:3])
    assert together.evaluations == 4 and together.x_hat is together.x_t and together.x_t.dtype == torch.float32


def test_an_edit_sent_to_jumps_is_where_they_go_on():
    d, grid, noise = Exact(two_bumps(Cosine())), grids.Uniform(4)(Cosine()), Seeded([0])
    trajectory = Consistency(gamma=0.0).trajectory(d, torch.zeros(1, 1), grid, noise)
    next(trajectory)
    assert trajectory.send(torch.ones(1, 1)).x_t == 1
    torch.testing.assert_close(next(trajectory).x_t, d(torch.ones(1, 1), grid[1], grid[2]))


def test_samplers_of_flow_maps_are_listed_and_are_no_samplers_of_denoisers():
    assert not set(discover(samplers, Jumps)) & set(discover(samplers, Sampler))
    printed = CliRunner().invoke(listing.command).output
    assert all(name.lower() in printed for name in discover(samplers, Jumps))
    with pytest.raises(ValueError, match="from 0 to 1"):
        Consistency(gamma=1.5)


def test_a_restart_goes_up_and_down_again_and_nowhere_else():
    plain = grids.Karras(12)(Cosine())
    walk = grids.Restart(grids.Karras(12), ((4, 3, 0.1, 0.5), (2, 1, 1.0, 2.0)))(Cosine())
    up = walk.diff() > 0
    assert up.sum() == 4 and len(walk) == 13 + 3 * 5 + 3
    ratio = (Cosine().log_snr(walk) / -2).exp()
    torch.testing.assert_close(ratio[1:][up], torch.tensor([2.0, 0.5, 0.5, 0.5], dtype=torch.float64))
    bottom = walk[:-1][up]
    assert set(bottom.tolist()) <= set(plain.tolist()) and bottom.unique().numel() == 2
    nearest = (Cosine().log_snr(plain[1:-1]) / -2 - math.log(0.1)).abs().argmin() + 1
    assert bottom[1:].eq(plain[nearest]).all() and walk[-1] == 0


def error_with_draws_on_the_way_up(sampler, denoiser, grid):
    """Of mean and deviation, by probing: `measures.affine` for samplers that draw nothing themselves."""
    counting = Probes(0)
    sampler(denoiser, torch.zeros(0, 1, dtype=torch.float64), grid, counting)
    n = counting.draws
    x = torch.zeros(n + 2, 1, dtype=torch.float64)
    x[n + 1] = 1
    end = sampler(denoiser, x, grid, Probes(n + 2))[:, 0] if n else sampler(denoiser, x, grid, Seeded([0, 1]))[:, 0]
    way = Affine(end[n].item(), (end[n + 1] - end[n]).item(), end[:n] - end[n])
    mean, std = way.marginal(*denoiser.marginal(grid[0]))
    return abs(mean - denoiser.mean) + abs(std - denoiser.std)


@pytest.mark.parametrize("schedule", [COSINE, EXPLODING], ids=lambda s: repr(s.schedule))
@pytest.mark.parametrize("sampler", [Euler(), Heun(), DDPM()], ids=repr)
def test_a_restart_forgets_the_errors_made_above_it(sampler, schedule):
    """Mean and spread of Gaussian data by propagation, after few and coarse steps: each repeat leaves less of their error,
    and what is left in the end is that of the steps within the interval."""
    walks = [grids.Karras(8), *(grids.Restart(grids.Karras(8), ((24, n, 0.1, 2.0),)) for n in (1, 4))]
    errors = [error_with_draws_on_the_way_up(sampler, Bell(schedule), walk(schedule)) for walk in walks]
    assert errors[1] < 0.7 * errors[0] and errors[2] < 0.5 * errors[0], errors


@pytest.mark.parametrize("interval", [(0, 1, 0.1, 0.5), (3, 0, 0.1, 0.5), (3, 1, 0.5, 0.1), (3, 1, 0.0, 0.5)])
def test_a_restart_that_goes_nowhere_is_refused(interval):
    with pytest.raises(ValueError, match="0 < low < high"):
        grids.Restart(intervals=(interval,))


def test_a_restart_above_all_noise_or_without_a_time_to_start_from_is_refused():
    with pytest.raises(ValueError, match="another interval"):
        grids.Restart(grids.Uniform(20), ((3, 2, 200.0, 300.0),))(VE())
    with pytest.raises(ValueError, match="more steps"):
        grids.Restart(grids.Uniform(1))(Cosine())
