"""Deterministic samplers against their published formulas, against each other, and at both ends."""

import math
from itertools import pairwise

import pytest
import torch
from truth import levels, two_bumps

from reverie.core import grids
from reverie.core.noise import Seeded
from reverie.core.schedules import VE, Cosine, Rectified
from reverie.samplers.adams_bashforth import AdamsBashforth
from reverie.samplers.adams_moulton import AdamsMoulton
from reverie.samplers.adaptive import Adaptive
from reverie.samplers.base import Cost
from reverie.samplers.ddim import DDIM
from reverie.samplers.deis import DEIS
from reverie.samplers.dpm2 import DPM2
from reverie.samplers.dpm_solver import DPMSolver
from reverie.samplers.dpmpp_3m import DPMpp3M
from reverie.samplers.dpmpp_singlestep import DPMppS
from reverie.samplers.ipndm import IPNDM
from reverie.samplers.plms import PLMS
from reverie.samplers.pndm import PNDM
from reverie.samplers.rk4 import RK4
from reverie.samplers.rosenbrock import Rosenbrock
from reverie.samplers.runge_kutta import BY_ORDER, runge_kutta
from reverie.samplers.unipc import UniPC

TIMES = torch.tensor([0.7, 0.62, 0.5, 0.46, 0.33], dtype=torch.float64)
NOISE = Seeded(range(3))


def walked(sampler, denoiser, x, times):
    *_, state = sampler.trajectory(denoiser, x, times, NOISE)
    return state.x_t


@pytest.fixture
def d():
    return two_bumps(Cosine())


@pytest.fixture
def x():
    return torch.randn(3, 1, dtype=torch.float64)


def test_on_x_hat_three_steps_of_adams_bashforth_are_dpm_solver_3m_with_the_right_second_difference(d, x):
    torch.testing.assert_close(walked(DPMpp3M(), d, x, TIMES), walked(AdamsBashforth(3, "x_hat"), d, x, TIMES))


@pytest.mark.parametrize("order", [3, 4])
def test_on_x_hat_adams_moulton_is_unipc(order, d, x):
    """From three known guesses on, where B no longer matters; before, B(h) / 2 stands for h phi_2."""
    for bh in (1, 2):
        ours, theirs = UniPC(order, bh), AdamsMoulton(order, "x_hat")
        _, memory = theirs.step(d, x, TIMES[0], TIMES[1], theirs.init(), NOISE)
        x_t = x
        for t, s in pairwise(TIMES[1:]):
            x_t, memory = theirs.step(d, x_t, t, s, memory, NOISE)
            if len(memory.past) == order:
                again, _ = ours.step(d, x_t, s, s - 0.05, memory, NOISE)
                torch.testing.assert_close(again, theirs.step(d, x_t, s, s - 0.05, memory, NOISE)[0])
                break
        else:
            pytest.fail("the past never grew long enough")


def test_unipc_of_order_2_is_the_published_one(d, x):
    """Zhao et al., with B(h) = e^h - 1 and the 1/2 that they take for one difference."""
    r, t, s = TIMES[:3]
    (alpha_r, sigma_r), (alpha_t, sigma_t), (alpha_s, sigma_s) = map(d.schedule, (r, t, s))
    h_last, h = (d.schedule.log_snr(TIMES[:3]) / 2).diff()
    m_r = d(x, r).x_hat
    predicted = sigma_t / sigma_r * x - alpha_t * torch.expm1(-h_last) * m_r
    m_t = d(predicted, t).x_hat
    corrected = predicted - alpha_t * torch.expm1(-h_last) * (m_t - m_r) / 2
    # with one past guess and the new one, the corrector of order 2 knows one difference; the predictor the same
    expected = sigma_s / sigma_t * corrected - alpha_s * torch.expm1(-h) * (m_t + (m_r - m_t) / (-h_last / h) / 2)
    torch.testing.assert_close(walked(UniPC(2), d, x, TIMES[:3]), expected)


@pytest.mark.parametrize("steps", [5, 6, 12])
def test_with_few_steps_on_the_usual_grid_unipc_by_default_is_nearer_than_ddim_and_than_order_3(d, steps):
    """Of 512 starts, root mean squares, to the flow in 1 000 steps; other starts change the ratios by less than a tenth."""
    grid = lambda n: grids.Karras(n, sigma_min=0.01)(d.schedule)
    normal = torch.randn(512, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = d.schedule(grid(steps)[0])[1] * normal
    end = walked(UniPC(), d, x, grid(1000))
    error = lambda sampler: (walked(sampler, d, x, grid(steps)) - end).square().mean().sqrt()
    assert error(UniPC()) < 0.8 * error(DDIM()) and error(UniPC()) < error(UniPC(3)) / 1.8


def test_on_noise_adams_bashforth_is_the_linear_multistep_method_of_k_diffusion(x):
    """Where alpha = 1: the integral in sigma of Lagrange's polynomial through the derivatives (x - x_hat) / sigma."""
    d, times = two_bumps(VE()), torch.tensor([0.6, 0.5, 0.43, 0.4], dtype=torch.float64)
    sigma, x_t, slopes = VE()(times)[1], x, []
    for i, (t, s) in enumerate(pairwise(sigma)):
        slopes.append((x_t - d(x_t, times[i]).x_hat) / t)
        for j, slope in enumerate(slopes):
            others = [k for k in range(i + 1) if k != j]
            c = (s - t) * (torch.arange(2000, dtype=torch.float64)[:, None] + 0.5) / 2000 + t
            x_t = x_t + (s - t) * ((c - sigma[others]) / (sigma[j] - sigma[others])).prod(1).mean() * slope
    torch.testing.assert_close(walked(AdamsBashforth(3, "noise"), d, x, times), x_t, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("form", [DPMSolver, DPMppS])
def test_second_order_singlestep_methods_are_the_published_ones(form, d, x):
    t, s = TIMES[:2]
    (alpha_t, sigma_t), (alpha_s, sigma_s) = d.schedule(t), d.schedule(s)
    h = (d.schedule.log_snr(s) - d.schedule.log_snr(t)) / 2
    u = d.schedule.time((d.schedule.log_snr(s) + d.schedule.log_snr(t)) / 2)
    alpha_u, sigma_u = d.schedule(u)
    if form is DPMSolver:
        x_u = alpha_u / alpha_t * x - sigma_u * torch.expm1(h / 2) * d(x, t).eps(x, alpha_t, sigma_t)
        expected = alpha_s / alpha_t * x - sigma_s * torch.expm1(h) * d(x_u, u).eps(x_u, alpha_u, sigma_u)
        torch.testing.assert_close(walked(DPM2(), d, x, TIMES[:2]), expected)
    else:
        x_u = sigma_u / sigma_t * x - alpha_u * torch.expm1(-h / 2) * d(x, t).x_hat
        expected = sigma_s / sigma_t * x - alpha_s * torch.expm1(-h) * d(x_u, u).x_hat
    torch.testing.assert_close(walked(form(2), d, x, TIMES[:2]), expected)


def test_on_even_steps_the_pseudo_multistep_methods_have_the_published_weights(d, x):
    times = torch.linspace(0.8, 0.4, 5, dtype=torch.float64)
    x_t, past = x, []
    published = ([1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24])
    for weights, (t, s) in zip(published, pairwise(times)):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = d.schedule(t), d.schedule(s)
        past.insert(0, d(x_t, t).eps(x_t, alpha_t, sigma_t))
        eps = sum(w * old for w, old in zip(weights, past))
        x_t = alpha_s / alpha_t * x_t + (sigma_s - alpha_s * sigma_t / alpha_t) * eps
    torch.testing.assert_close(walked(IPNDM(), d, x, times), x_t)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_runge_kutta_steps_have_the_order_of_their_tableau_and_start_in_pure_noise(order):
    d, p, end = two_bumps(Rectified()), levels(9), torch.tensor(0.3, dtype=torch.float64)
    errors = []
    for n in (32, 64):
        x, way = d.quantile(p, 1.0), torch.linspace(1.0, 0.3, n + 1, dtype=torch.float64)
        for t, s in pairwise(way):
            x = runge_kutta(BY_ORDER[order], d, x, t, s).x_s
        errors.append((x - d.quantile(p, end)).square().mean().sqrt())
    assert math.log2(errors[0] / errors[1]) > order - 0.25


def test_a_runge_kutta_start_mends_the_order_of_a_method_that_starts_itself():
    """Along the whole way from data that are noise: order 4 where lower orders begin leaves order 2 to 3."""
    d, p, slopes = two_bumps(Cosine()), levels(9), {}
    for start in ("lower", "runge_kutta"):
        errors = []
        for n in (128, 256):
            way = Cosine().time(torch.linspace(0.0, 2.0, n + 1, dtype=torch.float64))
            x = walked(AdamsBashforth(4, start=start), d, d.quantile(p, way[0]), way)
            errors.append((x - d.quantile(p, way[-1])).square().mean().sqrt())
        slopes[start] = math.log2(errors[0] / errors[1])
    assert slopes["lower"] < 3 and slopes["runge_kutta"] > 3.5, slopes


ADAPTIVE = [Adaptive(tol, tol, pair) for tol, pair in ((1e-2, 2), (1e-2, 3), (1e-4, 3))]


@pytest.mark.parametrize("sampler", ADAPTIVE, ids=repr)
def test_adaptive_steps_keep_to_the_tolerance_from_pure_noise_to_data_in_one_step_of_the_grid(sampler):
    d, p = two_bumps(Cosine()), levels(16)
    *_, state = sampler.trajectory(d, d.quantile(p, 1.0), torch.tensor([1.0, 0.0], dtype=torch.float64), NOISE)
    error = (state.x_t - d.quantile(p, 0.0)).abs()
    assert sampler.rtol / 100 < error.max() < 30 * sampler.rtol  # the flow stretches an early error between the modes
    tally, stages = state.tally, sampler.pair
    assert (tally.evaluations == stages * tally.accepted + (stages - 1) * tally.rejected).all()
    assert tally.evaluations.max() <= state.evaluations and (tally.evaluations.unique().numel() > 1)
    assert tally.rejected.sum() > 0


def test_a_sample_on_its_own_chooses_the_same_steps(d):
    p, way = levels(5), torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    x_1 = d.quantile(p, 1.0)
    *_, together = Adaptive().trajectory(d, x_1, way, Seeded(range(5)))
    for i in range(5):
        *_, alone = Adaptive().trajectory(d, x_1[i : i + 1], way, Seeded([i]))
        torch.testing.assert_close(alone.x_t, together.x_t[i : i + 1])
        assert [count[0] for count in alone.tally] == [count[i] for count in together.tally]
        assert alone.evaluations == alone.tally.evaluations  # what each would have needed alone


def test_a_guess_that_is_no_number_ends_an_adaptive_trajectory():
    from reverie.core.denoisers import Denoiser, Estimate

    class Lost(Denoiser):
        schedule = Cosine()

        def forward(self, x_t, t):
            return Estimate(torch.full_like(x_t, math.nan))

    end = Adaptive()(Lost(), torch.randn(2, 1), torch.tensor([1.0, 0.0], dtype=torch.float64), NOISE)
    assert end.isnan().all()


@pytest.mark.parametrize(
    "sampler",
    [AdamsBashforth(4, start="runge_kutta"), AdamsMoulton(3, start="runge_kutta"), PNDM(), PLMS(), DPMSolver(3),
     DPMppS(2), DPM2(), RK4(), Rosenbrock(), UniPC(4), DEIS(4), DPMpp3M()],
    ids=repr,
)  # fmt: skip
def test_evaluations_are_what_the_class_declares(sampler):
    for schedule in (Cosine(), VE()):
        for n in (1, 2, 3, 7):
            grid = grids.Uniform(n)(schedule)
            for part in (grid, grid[: n + 1], grid[1:]):
                if len(part) > 1:
                    *_, state = sampler.trajectory(two_bumps(schedule), torch.randn(3, 1), part, NOISE)
                    assert state.evaluations == sampler.evaluations.total(schedule, part), part


def test_what_a_sampler_costs_reads_as_a_sentence():
    assert str(Cost()) == "1 a step"
    assert str(PNDM().evaluations) == "1 a step, 4, 4, 4 in the first, 1 from pure noise, 1 to the data"


@pytest.mark.parametrize(
    "make",
    [lambda: AdamsBashforth(0), lambda: AdamsBashforth(3, "score"), lambda: AdamsBashforth(3, start="heun"),
     lambda: AdamsMoulton(5), lambda: UniPC(5), lambda: UniPC(3, bh=3), lambda: DEIS(5), lambda: DEIS(3, "sigma"),
     lambda: DPMSolver(4), lambda: DPMppS(0), lambda: IPNDM(5), lambda: Adaptive(pair=4)],
)  # fmt: skip
def test_an_option_that_is_not_to_be_had_is_refused_by_naming_those_that_are(make):
    with pytest.raises(ValueError, match="take "):
        make()
