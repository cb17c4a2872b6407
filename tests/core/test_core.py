"""Theorems of schedules, processes, parameterizations, grids, noise, spaces and oracles."""

import itertools
import math
from copy import copy

import pytest
import torch
from torch import nn
from truth import SCHEDULES, gaussian, levels, two_bumps

from reverie.core import grids, parameterizations
from reverie.core.denoisers import Estimate, Preconditioned
from reverie.core.grids import Grid
from reverie.core.noise import Brownian, Centred, Seeded
from reverie.core.oracles import Mixture, Normal
from reverie.core.parameterizations import (
    Clean,
    Flow,
    Index,
    Karras,
    LogSNR,
    Noise,
    Parameterization,
    Score,
    Velocity,
    convert,
)
from reverie.core.processes import Gaussian
from reverie.core.schedules import (
    VE,
    Cosine,
    CosineBetas,
    LinearBetas,
    LinearVP,
    Rectified,
    ScaledLinearBetas,
    Shifted,
    Tabulated,
    ZeroTerminalSNR,
)
from reverie.core.spaces import Space
from reverie.discover import variants
from reverie.samplers.ddim import DDIM
from reverie.samplers.heun import Heun

PARAMETERIZATIONS = variants(parameterizations, Parameterization)
GRIDS = variants(grids, Grid)
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
f64 = torch.float64


@each_schedule
def test_time_inverts_log_snr(schedule):
    t = torch.linspace(0.01, 0.99, 77, dtype=f64)
    torch.testing.assert_close(schedule.time(schedule.log_snr(t)), t, rtol=0, atol=1e-12)
    assert schedule.time(float("-inf")) == 1 and schedule.time(float("inf")) < 1e-12


@each_schedule
def test_schedules_are_clean_at_zero_and_only_get_noisier(schedule):
    assert [c.item() for c in schedule(0.0)] == [1, 0]
    assert (schedule.log_snr(torch.linspace(0, 1, 999)).diff() < 0).all()
    assert hash(schedule) == hash(copy(schedule)) and schedule == copy(schedule)


def test_alpha_vanishes_exactly_where_it_should():
    assert Cosine()(1.0)[0] == 0 and Rectified()(1.0)[0] == 0


def test_a_table_is_said_in_a_line_and_written_whole():
    table = Tabulated(tuple(torch.linspace(1e-4, 0.02, 1000, dtype=f64).tolist()))
    assert str(table) == "Tabulated(1000 betas from 0.0001 to 0.02)"
    assert repr(table).count(",") > 998


@pytest.mark.parametrize("count", [3, 7, 1000])
def test_a_tabulated_time_is_its_index(count):
    betas = torch.linspace(1e-4, 0.02, count, dtype=f64)
    schedule, i = Tabulated(tuple(betas.tolist())), torch.arange(count)
    t = (i + 1).double() / count
    kept = (1 - betas).cumprod(0)
    alpha, sigma = schedule(t)
    torch.testing.assert_close(alpha, kept.sqrt(), rtol=1e-11, atol=0)
    torch.testing.assert_close(sigma, (1 - kept).sqrt(), rtol=1e-11, atol=0)
    assert Index(count)(schedule, t).equal(i.double())
    assert Index(count, rounds=False)(schedule, t).float().equal(i.float())
    below = torch.linspace(0, 1 / count, 9, dtype=f64)
    ratio = schedule.sigma(below) / schedule.alpha(below)
    torch.testing.assert_close(ratio.diff(), ratio.diff()[:1].expand(8))


@each_schedule
def test_the_posterior_of_the_process_undoes_its_draw(schedule):
    """Drawing x_t and then q(x_s | x_t, x) is drawing x_s: the same mean, and the same variance."""
    process, x, zero, one = Gaussian(schedule), *torch.tensor([[1.7], [0.0], [1.0]], dtype=f64)
    for t, s in [(1.0, 0.6), (0.7, 0.2), (0.3, 0.0)]:
        alpha_s, sigma_s = schedule(s)
        mean, std = process.posterior(process.draw(x, t, zero), x, t, s)
        moved, _ = process.posterior(process.draw(x, t, one), x, t, s)
        torch.testing.assert_close(mean, alpha_s * x)
        torch.testing.assert_close((moved - mean) ** 2 + std**2, (sigma_s**2).reshape(1))


@each_schedule
def test_noising_in_two_steps_is_noising_in_one(schedule):
    process, x, zero, one = Gaussian(schedule), *torch.tensor([[1.7], [0.0], [1.0]], dtype=f64)
    for s, t in [(0.6, 1.0), (0.2, 0.7), (0.0, 0.3)]:
        step = lambda e, f: process.renoise(process.draw(x, s, e), s, t, f)
        mean, first, second = step(zero, zero), step(one, zero), step(zero, one)
        torch.testing.assert_close(mean, process.draw(x, t, zero))
        variance = (process.draw(x, t, one) - mean) ** 2
        torch.testing.assert_close((first - mean) ** 2 + (second - mean) ** 2, variance)


@each_schedule
def test_ancestral_sampling_draws_from_the_posterior(schedule):
    x, x_t, t, s = torch.randn(4, 3), torch.randn(4, 3), torch.tensor(0.8), torch.tensor(0.5)
    ours = DDIM(eta=1.0).transition(schedule, Estimate(x), x_t, t, s)
    torch.testing.assert_close(ours, Gaussian(schedule).posterior(x_t, x, t, s))


class Says(nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x, c_noise):
        return self.output


@pytest.mark.parametrize("parameterization", [*PARAMETERIZATIONS, Karras(0.5)], ids=repr)
@pytest.mark.parametrize("shape", [(4, 4), (4, 3, 8, 4), (4, 7, 3)])  # the last axis may look like the batch
def test_a_backbone_that_outputs_the_target_gives_back_the_data(parameterization, shape):
    x, eps, t = torch.randn(shape, dtype=f64), torch.randn(shape, dtype=f64), torch.rand(4, dtype=f64) * 0.8 + 0.1
    alpha, sigma = (c.reshape(4, *[1] * (len(shape) - 1)) for c in VE(3.0)(t))
    x_t = alpha * x + sigma * eps
    c_in, c_skip, c_out = parameterization(alpha, sigma)
    target = (x - c_skip * x_t) / c_out
    torch.testing.assert_close(Preconditioned(Says(target), VE(3.0), parameterization)(x_t, t).x_hat, x)
    known = {Clean(): x, Noise(): eps, Velocity(): alpha * eps - sigma * x, Flow(): eps - x, Score(): -eps / sigma}
    torch.testing.assert_close(target, known.get(parameterization, target))
    to_x, to_eps = parameterization.target(alpha, sigma)
    torch.testing.assert_close(target, to_x * x + to_eps * eps)
    for other in PARAMETERIZATIONS:
        to_x, to_eps = other.target(alpha, sigma)
        torch.testing.assert_close(convert(target, x_t, alpha, sigma, parameterization, other), to_x * x + to_eps * eps)


@pytest.mark.parametrize("std", [0.5, 1.0, 3.0])
def test_karras_inputs_and_targets_have_unit_variance(std):
    """In closed form: var x = std^2, var eps = 1, and the two are independent."""
    alpha, sigma = Rectified()(torch.linspace(0.05, 0.95, 19))
    c_in, c_skip, c_out = Karras(std)(alpha, sigma)
    var_input = c_in**2 * ((alpha * std) ** 2 + sigma**2)
    var_target = (((1 - c_skip * alpha) * std) ** 2 + (c_skip * sigma) ** 2) / c_out**2
    torch.testing.assert_close((var_input, var_target), (torch.ones_like(alpha),) * 2)
    covariance = (1 - c_skip * alpha) * alpha * std**2 - c_skip * sigma**2  # of target and x_t: no linear guess is left
    torch.testing.assert_close(covariance, torch.zeros_like(alpha))


def test_conversion_is_exact_at_the_ends_where_the_source_tells_both():
    x, eps = torch.randn(3, dtype=f64), torch.randn(3, dtype=f64)
    alpha, sigma = Rectified()(1.0)
    for source, output in ((Velocity(), -x), (Flow(), eps - x)):
        torch.testing.assert_close(convert(output, eps, alpha, sigma, source, Noise()), eps)
        torch.testing.assert_close(convert(output, eps, alpha, sigma, source, Clean()), x)


def test_what_an_output_does_not_determine_is_refused_and_what_it_is_stays_regular():
    """Noise and score are each other at alpha = 0 and say nothing of x; a clean guess at sigma = 0 says nothing of eps."""
    eps, x = torch.randn(3, dtype=f64), torch.randn(3, dtype=f64)
    for at, known, output, unknown in ((1.0, (Noise(), Score()), eps, Clean()), (0.0, (Clean(), Karras()), x, Noise())):
        alpha, sigma = Rectified()(at)
        x_t, (source, other) = alpha * x + sigma * eps, known
        to_x, to_eps = other.target(alpha, sigma)
        torch.testing.assert_close(convert(output, x_t, alpha, sigma, source, source), output)
        if at == 1:
            torch.testing.assert_close(convert(output, x_t, alpha, sigma, source, other), to_x * x + to_eps * eps)
        with pytest.raises(ValueError, match=r"Velocity\(\)"):
            convert(output, x_t, alpha, sigma, source, unknown)
    alpha, sigma = Rectified()(0.0)
    for source, output in ((Velocity(), eps), (Flow(), eps - x), (Noise(), eps)):
        torch.testing.assert_close(convert(output, x, alpha, sigma, source, Clean()), x)


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_first_level():
    schedule, plain = ZeroTerminalSNR(LinearBetas()), LinearBetas()
    assert [c.item() for c in schedule(1.0)] == [0, 1]
    torch.testing.assert_close(schedule(1 / 1000), plain(1 / 1000))
    alpha = plain(torch.arange(1, 1001, dtype=f64) / 1000)[0]  # algorithm 1 of the paper, on the square roots
    truth = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    torch.testing.assert_close(schedule(torch.arange(1, 1001, dtype=f64) / 1000)[0], truth, rtol=1e-8, atol=1e-12)
    middle = schedule.alpha(torch.tensor(0.9995, dtype=f64))
    torch.testing.assert_close(middle, schedule.alpha(torch.tensor(0.999, dtype=f64)) / 2)


def test_a_shift_multiplies_the_noise_and_stays_on_the_curve():
    t = torch.linspace(0.05, 0.95, 7, dtype=f64)
    for schedule, factor in ((Rectified(), 3.0), (Cosine(), 0.5)):
        shifted, (alpha, sigma) = Shifted(schedule, factor), schedule(t)
        a, b = shifted(t)
        torch.testing.assert_close(b / a, factor * sigma / alpha)
        torch.testing.assert_close(a + b if schedule == Rectified() else a**2 + b**2, torch.ones_like(t))
    with pytest.raises(ValueError, match="ZeroTerminalSNR"):
        Shifted(LinearBetas())


def test_betas_of_other_tables_are_the_published_ones():
    first_and_last = lambda schedule: 1 / (1 + (-schedule.log_snrs()[[0, -1]]).exp())  # alpha^2
    torch.testing.assert_close(
        first_and_last(CosineBetas(1000))[0].item(), 1 - 4.128422482196914e-05, rtol=0, atol=1e-12
    )
    assert first_and_last(ScaledLinearBetas())[0].item() == pytest.approx(1 - 0.00085)
    assert first_and_last(ScaledLinearBetas())[1].item() == pytest.approx(0.0047, abs=5e-5)
    assert LinearVP()(1.0)[0].item() == pytest.approx(math.exp(-(20 - 0.1) / 4 - 0.05))


def test_predicting_noise_where_nothing_else_is_raises():
    with pytest.raises(ValueError, match="Velocity"):
        Preconditioned(nn.Identity(), Cosine(), Noise())
    with pytest.raises(ValueError, match="Velocity"):
        Preconditioned(nn.Identity(), Rectified(), Score())
    Preconditioned(nn.Identity(), LinearBetas(), Noise())


def test_a_half_precision_backbone_gets_exact_indices_and_gives_wide_estimates():
    class Backbone(nn.Linear):
        def forward(self, x, c_noise):
            assert x.dtype == torch.bfloat16 and c_noise.tolist() == [981.0, 981.0]
            return super().forward(x)

    denoiser = Preconditioned(Backbone(3, 3).bfloat16(), LinearBetas(), Velocity(), Index(1000))
    assert denoiser(torch.randn(2, 3), torch.tensor(0.982)).x_hat.dtype == torch.float32


@each_schedule
def test_log_snr_input_is_finite_at_both_ends(schedule):
    assert LogSNR()(schedule, torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


@each_schedule
@pytest.mark.parametrize("grid", GRIDS, ids=lambda g: type(g).__name__)
def test_grids_go_from_noise_to_data(grid, schedule):
    times = grid(schedule)
    assert times[-1] == 0 and times.dtype == f64
    assert times[0] == 1 or isinstance(grid, grids.Leading)  # which starts below, as its models were shipped
    assert bool((times.diff() > 0).any()) == grid.upward
    assert grid.upward or len(times) == grid.steps + 1


def test_grids_are_even_in_what_they_say():
    def even(values):
        torch.testing.assert_close(values.diff(), values.diff()[:1].expand(len(values) - 1))

    interior = slice(1, -1)
    for schedule in (Cosine(), Rectified(), VE(80.0)):
        even(grids.Uniform(9)(schedule))
        even(schedule.log_snr(grids.LogSNR(9, -4, 4)(schedule)[interior]))
        times = grids.Karras(9)(schedule)
        sigma = (-schedule.log_snr(times[interior]) / 2).exp()
        even(sigma ** (1 / 7))
        assert sigma[-1].item() == pytest.approx(0.002) and len(times) == 10
    assert schedule.log_snr(grids.LogSNR(9, -4, 4)(schedule)[-2]).item() == pytest.approx(4)
    indices = grids.Trailing(7)(LinearBetas()) * 1000
    torch.testing.assert_close(indices.round(), indices)
    assert indices.round().int().tolist() == [1000, 857, 714, 571, 429, 286, 143, 0]
    assert grids.Trailing(7, stop=1 / 1000)(LinearBetas())[-1] == 1 / 1000


def test_even_steps_on_a_variance_exploding_schedule_are_karras_own():
    stop = (0.002 / 80) ** (1 / 7)
    torch.testing.assert_close(grids.Uniform(17, stop=stop)(VE()), grids.Karras(18)(VE())[:-1])


def test_discrete_grids_stand_on_the_indices_that_their_models_were_given():
    index = lambda grid: (grid(LinearBetas())[:-1] * 1000 - 1).round().int().tolist()
    assert index(grids.Leading(4)) == [750, 500, 250, 0] and index(grids.Leading(4, offset=1)) == [751, 501, 251, 1]
    assert index(grids.Linspace(4)) == [999, 666, 333, 0]
    assert index(grids.Trailing(4)) == [999, 749, 499, 249]
    with pytest.raises(ValueError, match="smaller offset"):
        grids.Leading(4, offset=250)(LinearBetas())
    with pytest.raises(ValueError, match="one or more"):
        grids.Uniform(0)(Cosine())


def test_a_resampled_grid_goes_down_up_and_down_again():
    times = grids.Resampled(grids.Uniform(4), jump=2, repeats=2)(Cosine())
    assert times.tolist() == [1, 0.75, 0.5, 1, 0.75, 0.5, 0.25, 0, 0.5, 0.25, 0]


def test_a_grid_that_stands_still_raises():
    with pytest.raises(ValueError, match="fewer steps"):
        grids.Trailing(20, count=10)(Cosine())


def test_noise_of_a_sample_does_not_depend_on_its_batch_or_dtype():
    like, step = torch.empty(3, 5), (torch.tensor(0.7), torch.tensor(0.4))
    sources = lambda: (Seeded([7, 8, 9]), Brownian([7, 8, 9], Cosine()))
    for all_rows, some, wide in zip(sources(), sources(), sources()):
        draw = all_rows.draw(like, *step)
        assert some.rows([1]).draw(like[:1], *step).equal(draw[1:2])
        assert wide.draw(like.double(), *step).float().equal(draw)
        assert all_rows.rows([2, 2]).uniform(like[:2]).unique().numel() == 10
        assert not all_rows.draw(like).equal(all_rows.draw(like))


@each_schedule
def test_two_grids_share_a_brownian_path(schedule):
    source, like = Brownian([3, 4], schedule), torch.empty(2, 4000, dtype=f64)
    snr = lambda t: (schedule.alpha(t) / schedule.sigma(t)) ** 2
    t, r, s = torch.tensor([1.0, 0.55, 0.3], dtype=f64)
    moved = lambda t, s: (snr(s) - snr(t)).sqrt() * source.draw(like, t, s)
    torch.testing.assert_close(moved(t, s), moved(t, r) + moved(r, s))
    steps = torch.stack([source.draw(like, t, r), source.draw(like, r, s), source.draw(like, s, 0 * s)])
    torch.testing.assert_close(steps.flatten(1).cov(), torch.eye(3, dtype=f64), rtol=0, atol=0.06)
    with pytest.raises(ValueError, match="Seeded"):
        source.draw(like, s, t)


def test_centred_noise_has_no_mean_over_real_points_and_unit_variance_left():
    mask = (torch.arange(6)[:, None] < torch.tensor([6, 3])[:, None, None]).float()
    space, like = Space(mask, centred=3), torch.empty(2, 6, 5)
    draws = torch.stack([Centred(Seeded([i, i + 999]), space).draw(like) for i in range(500)])
    coordinates = draws[..., :3]
    assert coordinates.sum(2).abs().max() < 1e-5 and draws[:, 1, 3:].abs().max() == 0
    assert draws[..., 3:].sum(2).abs().max() > 1  # features are not centred
    per_dof = torch.stack([space.mean(draw**2) for draw in draws]).mean(0)
    torch.testing.assert_close(per_dof, torch.ones(2), rtol=0, atol=0.04)
    torch.testing.assert_close(space.project(draws[0]), draws[0])


def test_molecules_stay_centred_all_the_way():
    space = Space(torch.ones(2, 9, 1), centred=3)
    noise = Centred(Seeded([0, 1]), space)
    x_1 = Cosine().start(noise.draw(torch.empty(2, 9, 3, dtype=f64)))
    for sampler in (Heun(), DDIM(eta=1.0)):
        x = sampler(gaussian(Cosine()), x_1, grids.Uniform(20)(Cosine()), noise)
        assert x.mean(1).abs().max() < 1e-7 and x.std() > 0.3


@each_schedule
def test_the_mixture_oracle_is_the_integral_it_stands_for(schedule):
    weights, means = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([[-1.0, 0.5], [0.3, -0.7], [1.2, 1.0]])
    stds = torch.tensor([0.3, 0.5, 0.4])
    line = torch.linspace(-4, 4, 401, dtype=f64)
    x = torch.cartesian_prod(line, line)
    normal = lambda z, std: torch.exp(-((z / std) ** 2).sum(-1) / 2) / std**2
    prior = sum(w * normal(x - m, s) for w, m, s in zip(weights, means, stds))
    for time, x_t in itertools.product((0.3, 0.6), torch.tensor([[0.4, -0.2], [1.0, 1.0]], dtype=f64)):
        t = schedule.time(2 - 4 * time)
        alpha_t, sigma_t = schedule(t)
        p = prior * normal(x_t - alpha_t * x, sigma_t)
        truth = (p[:, None] * x).sum(0) / p.sum()
        oracle = Mixture(schedule, weights, means, stds)
        torch.testing.assert_close(oracle(x_t[None], t).x_hat[0], truth, rtol=1e-5, atol=1e-6)


def test_the_exact_flow_keeps_quantiles():
    d, p = two_bumps(Cosine()), levels(9)
    x = d.quantile(p, 0.8)
    torch.testing.assert_close(d.flow(x, 0.8, 0.1), d.quantile(p, 0.1), rtol=0, atol=1e-9)
    torch.testing.assert_close(d.cdf(d.quantile(p, 0.0), 0.0), p, rtol=0, atol=1e-9)


@each_schedule
def test_the_normal_oracle_is_the_conditional_mean_and_its_flow_carries_the_marginals(schedule):
    """Joint Gaussians: E[x | x_t] = m + alpha C (alpha^2 C + sigma^2)^-1 (x_t - alpha m)."""
    root = torch.randn(4, 4, dtype=f64)
    C, m, x_t, t = root @ root.mT, torch.randn(4, dtype=f64), torch.randn(6, 4, dtype=f64), torch.tensor(0.6, dtype=f64)
    d, (alpha, sigma) = Normal(schedule, m, C), schedule(t)
    gain = alpha * C @ torch.linalg.inv(alpha**2 * C + sigma**2 * torch.eye(4))
    torch.testing.assert_close(d(x_t, t).x_hat, m + (x_t - alpha * m) @ gain.mT)
    (mean_t, cov_t), (mean_0, cov_0) = d.marginal(0.6), d.marginal(0.0)
    torch.testing.assert_close((mean_0, cov_0), (m, C))
    whitened = torch.linalg.cholesky(cov_t).mT
    ends = d.flow(mean_t + torch.cat([whitened, -whitened]), t, 0.0)  # affine: its spread shows on any square root
    torch.testing.assert_close(ends.mean(0), m)
    moved = (ends[:4] - ends[4:]) / 2
    torch.testing.assert_close(moved.mT @ moved, C)


def test_streams_are_a_function_of_their_address_alone():
    like = torch.empty(2, 3)
    assert Seeded.at(1, [5, 9]).draw(like).equal(torch.cat([Seeded.at(1, [i]).draw(like[:1]) for i in (5, 9)]))
    heads = {tuple(Seeded.at(seed, [i], use).draw(like[:1]).flatten().tolist())
             for seed in (0, 1) for i in range(20) for use in ("sample", "train")}  # fmt: skip
    assert len(heads) == 80
