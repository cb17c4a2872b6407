"""Samplers against exact flows and exact marginals."""

import math

import pytest
import torch
from truth import SAMPLERS, SCHEDULES, gaussian, levels, two_bumps

from reverie.core import grids
from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Brownian, Seeded
from reverie.core.oracles import Normal
from reverie.core.processes import Gaussian
from reverie.core.schedules import VE, Cosine, Rectified
from reverie.samplers.churn import EVERYWHERE, churned
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.samplers.heun import Heun

each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)


def uneven(n, schedule, even_in_time):
    """Alternating long and short steps that shrink with n: a wrong step ratio is invisible on an even grid."""
    lengths = torch.tensor([1.0, 0.3], dtype=torch.float64).repeat(n // 2)
    way = torch.cat([torch.zeros(1), lengths.cumsum(0) / lengths.sum()])
    if even_in_time:
        start, stop = schedule.time(torch.tensor([-6.0, 4.0]))
        return start + (stop - start) * way
    return schedule.time(-6 + 10 * way)


def error_from_exact_history(sampler, denoiser, grid):
    """Multistep methods begin with lower orders, so the test leads them along the exact flow until they remember."""
    x, noise, memory = denoiser.quantile(levels(9), grid[0]), Seeded(range(9)), sampler.init()
    first = 2
    for t, s in zip(grid[:first], grid[1:]):
        _, memory = sampler.step(denoiser, x, t, s, memory, noise)
        x = denoiser.flow(x, t, s)
    for t, s in zip(grid[first:], grid[first + 1 :]):
        x, memory = sampler.step(denoiser, x, t, s, memory, noise)
    return (x - denoiser.quantile(levels(9), grid[-1])).square().mean().sqrt()


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if not s.stochastic], ids=repr)
@pytest.mark.parametrize("even_in_time", [True, False])
@pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE()], ids=lambda s: type(s).__name__)
def test_order_of_convergence_to_the_flow(sampler, schedule, even_in_time):
    d = two_bumps(schedule)
    errors = [error_from_exact_history(sampler, d, uneven(n, schedule, even_in_time)) for n in (64, 128, 256)]
    slopes = [math.log2(a / b) for a, b in zip(errors, errors[1:])]
    assert max(slopes) >= sampler.order - 0.25, slopes


@pytest.mark.parametrize("sampler", [DDIM(0.5), DDIM(1.0), DDPM(), DDPM(1.0)], ids=repr)
def test_order_of_convergence_along_a_brownian_path(sampler):
    noise, d = Brownian([5, 6], Cosine()), gaussian(Cosine(), dim=1)
    x = Seeded([1, 2]).draw(torch.empty(2, 300, 1, dtype=torch.float64))
    ends = [sampler(d, x, uneven(n, Cosine(), True), noise) for n in (16, 32, 64, 128)]
    gaps = [(a - b).square().mean().sqrt() for a, b in zip(ends, ends[1:])]
    assert math.log2(gaps[0] / gaps[2]) / 2 >= sampler.order - 0.25, gaps


@each_sampler
@each_schedule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_from_pure_noise_to_data(sampler, schedule, dtype):
    """Every quantile, hence mean and spread, of the exact marginal at t = 0, from those at t = 1.

    The slack is the error that the order leaves after 80 steps; where noise is drawn it is three standard errors of
    the mean of 2000 samples of standard deviation 0.9.
    """
    d, n = two_bumps(schedule), 2000 if sampler.stochastic else 200
    p = levels(n)
    x_1 = d.quantile(p, 1.0)[torch.randperm(n, generator=torch.Generator().manual_seed(0))].reshape(4, n // 4, 1)
    grid = grids.LogSNR(80, -9, 9)(schedule)
    x = sampler(d, x_1.to(dtype), grid, Seeded(range(4))).double().reshape(-1, 1).sort(0).values
    truth = d.quantile(p, 0.0)
    slack = 0.06 if sampler.stochastic else 0.025 / 5 ** (sampler.order - 1)
    assert (x - truth).abs().mean() < slack
    assert abs(x.mean() - truth.mean()) < slack and abs(x.std() - truth.std()) < slack


@pytest.mark.parametrize("schedule", [s for s in SCHEDULES if s(1.0)[0] == 0], ids=repr)
def test_a_trajectory_starts_where_the_schedule_says(schedule):
    """Where nothing is left of the data at t = 1, the start is their exact marginal."""
    d, p = two_bumps(schedule), levels(100)
    torch.testing.assert_close(schedule.start(torch.special.ndtri(p)), d.quantile(p, 1.0), rtol=0, atol=1e-5)


def affine(sampler, denoiser, grid):
    """The end of a trajectory on Gaussian data is affine in its start and its draws: mean and deviation, exactly.

    One coordinate, all else zero: a unit in the start, then in each draw, shows its coefficient.
    """

    class Probe:
        place = torch.zeros(1, dtype=torch.int64)

        def __init__(self, unit):
            self.unit, self.draws = unit, 0

        def draw(self, like, t=None, s=None):
            self.draws += 1
            return torch.full_like(like, float(self.draws == self.unit))

    x_1 = lambda value: torch.full((1, 1), value, dtype=torch.float64)
    counting = Probe(-1)
    mean = sampler(denoiser, x_1(0.0), grid, counting).item()
    ends = [sampler(denoiser, x_1(1.0), grid, Probe(-1)).item() * 1.0]
    ends += [sampler(denoiser, x_1(0.0), grid, Probe(i + 1)).item() for i in range(counting.draws)]
    return mean, ends[0] - mean, torch.tensor(ends[1:], dtype=torch.float64) - mean


@pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s.stochastic], ids=repr)
def test_the_spread_of_gaussian_data_converges_without_a_draw(sampler, schedule):
    """Mean and deviation by propagation, no Monte Carlo: their error falls with the steps as the weak order says."""
    mean, std = 0.4, 0.5
    d = Normal(schedule, torch.tensor([mean]), torch.tensor([[std**2]]))
    errors = []
    for n in (16, 32, 64):
        grid = uneven(n, schedule, even_in_time=False)
        m, first, rest = affine(sampler, d, grid)
        start_mean, start_var = d.marginal(grid[0])
        end_mean, end_var = d.marginal(grid[-1])
        got_mean = m + first * start_mean.item()
        got_std = math.sqrt(first**2 * start_var.item() + rest.square().sum().item())
        errors.append(abs(got_mean - end_mean.item()) + abs(got_std - end_var.sqrt().item()))
    slopes = [math.log2(a / b) for a, b in zip(errors, errors[1:])]
    assert errors[-1] < 0.05 and max(slopes) >= sampler.order - 0.25, (errors, slopes)


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
