"""Samplers against exact flows and exact marginals."""

import math

import pytest
import torch
from truth import SAMPLERS, SCHEDULES, levels, two_bumps

from reverie.core import grids
from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Seeded
from reverie.core.processes import Gaussian
from reverie.core.schedules import VE, Cosine
from reverie.samplers.churn import EVERYWHERE, churned
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.samplers.heun import Heun

each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


@pytest.mark.parametrize("schedule", [s for s in SCHEDULES if s(1.0)[0] == 0], ids=repr)
def test_a_trajectory_starts_where_the_schedule_says(schedule):
    """Where nothing is left of the data at t = 1, the start is their exact marginal."""
    d, p = two_bumps(schedule), levels(100)
    torch.testing.assert_close(schedule.start(torch.special.ndtri(p)), d.quantile(p, 1.0), rtol=0, atol=1e-5)


@each_sampler
@each_schedule
def test_every_step_is_exact_where_the_guess_is_constant(sampler, schedule):
    """One point of data: whatever the steps, x_0 is the point, and x_t its exact flow when nothing random is added."""

    class Point(Denoiser):
        def forward(self, x_t, t):
            return Estimate(torch.full_like(x_t, 0.7))

    point, x_1 = Point(), schedule.start(torch.randn(2, 5))
    point.schedule = schedule
    for state in sampler.trajectory(point, x_1, grids.Uniform(5)(schedule), Seeded([0, 1])):
        alpha_t, sigma_t = (c.float() for c in schedule(state.t))
        alpha_1, sigma_1 = (c.float() for c in schedule(1.0))
        if not sampler.stochastic:
            flow = alpha_t * 0.7 + sigma_t * (x_1 - alpha_1 * 0.7) / sigma_1
            torch.testing.assert_close(state.x_t, flow, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state.x_t, torch.full_like(x_1, 0.7))


@pytest.mark.parametrize("schedule", [Cosine(), VE()], ids=repr)
def test_the_two_step_method_is_the_published_one(schedule):
    """2M is Lu et al.'s, in lambda = log(alpha / sigma)."""
    d, noise, x = two_bumps(schedule), Seeded(range(3)), torch.randn(3, 1, dtype=torch.float64)
    r, t, s = torch.tensor([0.6, 0.5, 0.47], dtype=torch.float64)
    alpha, sigma = schedule(torch.stack([r, t, s]))

    x_t, memory = DPMpp2M().step(d, x, r, t, None, noise)
    h_last, h = (alpha / sigma).log().diff()
    guess = d(x_t, t).x_hat * (1 + h / (2 * h_last)) - d(x, r).x_hat * h / (2 * h_last)
    ours, _ = DPMpp2M().step(d, x_t, t, s, memory, noise)
    torch.testing.assert_close(ours, sigma[2] / sigma[1] * x_t - alpha[2] * (-h).expm1() * guess)


def test_heun_costs_two_evaluations_a_step_but_one_to_reach_the_data():
    grid = grids.Uniform(7)(Cosine())
    *_, state = Heun().trajectory(two_bumps(Cosine()), torch.randn(2, 1), grid, Seeded([0, 1]))
    assert state.evaluations == 13 and state.t == 0


@each_sampler
def test_an_edit_sent_to_the_trajectory_starts_it_anew(sampler):
    d, grid, x_1, edit = two_bumps(Cosine()), grids.Uniform(12)(Cosine()), torch.randn(2, 1), torch.ones(2, 1)
    noise = Seeded([0, 1])
    trajectory = sampler.trajectory(d, x_1, grid, noise)
    for state in trajectory:
        if state.t == grid[5]:
            echo = trajectory.send(edit)
            assert echo.t == state.t and echo.x_t is edit
            streams = [stream.get_state() for stream in noise.streams]
    for stream, past in zip(noise.streams, streams):
        stream.set_state(past)
    assert state.x_t.equal(sampler(d, edit, grid[5:], noise))


class Counting(Denoiser):
    """Guidance with memory: it remembers how often it was asked, and notes it with the mode of the network."""

    def __init__(self, inner, seen):
        super().__init__()
        self.inner, self.schedule, self.asked, self.seen = inner, inner.schedule, 0, seen
        self.network = torch.nn.Dropout()

    def forward(self, x_t, t, **cond):
        self.asked += 1
        self.seen.append((self.asked, self.network.training, torch.is_grad_enabled()))
        return self.inner(x_t, t, **cond)


def test_a_trajectory_begins_afresh_in_eval_mode_and_puts_the_mode_back():
    seen, grid = [], grids.Uniform(3)(Cosine())
    inner = Counting(two_bumps(Cosine()), seen)
    outer = inner.given(weights=torch.tensor([1.0, 0.0]))
    for _ in range(2):
        for _ in DDIM().trajectory(outer, torch.randn(2, 1), grid, Seeded([0, 1])):
            assert inner.network.training and torch.is_grad_enabled()
    assert seen == [(i, False, False) for i in (1, 2, 3)] * 2 and inner.asked == 0


def test_a_grid_that_goes_up_is_noised_on_the_way():
    d, up = two_bumps(Cosine()), grids.Resampled(grids.Uniform(40), jump=10, repeats=3)(Cosine())
    z = torch.special.ndtri(levels(2000)).reshape(4, 500, 1)
    for sampler in (DDIM(eta=1.0), Heun(), DPMpp2M()):
        x = sampler(d, z, up, Seeded(range(4))).reshape(-1, 1).sort(0).values
        assert (x - d.quantile(levels(2000), 0.0)).abs().mean() < 0.06


def test_a_learned_variance_lies_between_the_two_bounds_and_one_that_was_not_learned_is_refused():
    schedule, x_t, t, s = Cosine(), torch.randn(3, 2), torch.tensor(0.7), torch.tensor(0.4)
    guess = Estimate(torch.zeros(3, 2), fraction=torch.tensor([[0.0, 1.0]]).expand(3, 2))
    _, std = DDPM(fraction=None).transition(schedule, guess, x_t, t, s)
    lower, upper = Gaussian(schedule).bounds(t, s)
    torch.testing.assert_close(std, torch.stack([lower, upper]).float().expand(3, 2))
    torch.testing.assert_close(lower.float(), DDIM(1.0).transition(schedule, guess, x_t, t, s)[1].float().reshape(()))
    with pytest.raises(ValueError, match="fraction"):
        DDPM(fraction=None).step(two_bumps(schedule), x_t[:, :1], t, s, None, Seeded(range(3)))


def test_churn_raises_the_noise_by_a_share_of_the_step_and_never_above_the_grid():
    schedule, noise = Cosine(), Seeded(range(2))
    t, s = schedule.time(torch.tensor([-1.0, -0.6]))
    for churn, top, log_snr in ((0.5, 1.0, -1.2), (0.5, float(t), -1.0), (99.0, 1.0, -1.0 - math.log(2))):
        _, higher = churned(schedule, torch.zeros(2, 1), t, s, torch.tensor(top), churn, EVERYWHERE, noise)
        assert schedule.log_snr(higher).item() == pytest.approx(log_snr)
    x, same = churned(schedule, torch.zeros(2, 1), t, s, torch.tensor(1.0), 0.5, (0.0, 9.0), noise)
    assert same == t and x.abs().max() == 0
