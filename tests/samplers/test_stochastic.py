"""Samplers that draw noise: their deterministic forms, their noise, their spread, and what they refuse."""

import math
from dataclasses import dataclass

import pytest
import torch
from measures import (
    COSINE,
    EXPLODING,
    RECTIFIED,
    Bell,
    Bumps,
    Path,
    affine,
    error_from_exact_history,
    error_of_the_marginal,
    even,
    uneven,
)
from truth import two_classes

from reverie.core import grids
from reverie.core.noise import Seeded
from reverie.core.oracles import Normal
from reverie.core.schedules import Cosine
from reverie.core.sdes import backward
from reverie.samplers.adams_bashforth import AdamsBashforth
from reverie.samplers.annealed_langevin import AnnealedLangevin
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpm2 import DPM2
from reverie.samplers.dpm2_ancestral import DPM2Ancestral
from reverie.samplers.dpmpp_1_sde import DPMpp1SDE
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.samplers.dpmpp_2m_sde import DPMpp2MSDE
from reverie.samplers.dpmpp_3m import DPMpp3M
from reverie.samplers.dpmpp_3m_sde import DPMpp3MSDE
from reverie.samplers.dpmpp_sde import DPMppSDE
from reverie.samplers.dpmpp_singlestep import DPMppS
from reverie.samplers.er_sde import ERSDE
from reverie.samplers.euler import Euler
from reverie.samplers.euler_ancestral import EulerAncestral
from reverie.samplers.euler_maruyama import EulerMaruyama
from reverie.samplers.predictor_corrector import PredictorCorrector
from reverie.samplers.reverse_diffusion import ReverseDiffusion
from reverie.samplers.sa_solver import SASolver

NEUTRAL = [
    (EulerAncestral(0.0), DDIM()),
    (EulerAncestral(0.6), DDIM(0.6)),
    (EulerAncestral(1.0), DDPM()),
    (DPM2Ancestral(0.0), DPM2()),
    (DPMpp1SDE(0.0), DDIM()),
    (DPMpp1SDE(1.0), DDPM()),
    (DPMpp2MSDE(0.0), DPMpp2M()),
    (DPMpp3MSDE(0.0), DPMpp3M()),
    (DPMppSDE(0.0), DPMppS(2)),
    (ERSDE(1, eta=0.0), DDIM()),
    (SASolver(1, 0), DDPM()),
    (SASolver(3, 0), DPMpp3MSDE()),
    (SASolver(4, 0, tau=0.0), AdamsBashforth(4, "x_hat")),
    (SASolver(3, 4, interval=(9.0, 8.0)), SASolver(3, 4, tau=0.0)),
    (EulerMaruyama(0.0), Euler()),
    (PredictorCorrector(corrections=0), ReverseDiffusion()),
    (PredictorCorrector(DDIM(), snr=0.0), DDIM()),
]


@pytest.mark.parametrize("schedule", [COSINE, EXPLODING], ids=lambda s: repr(s.schedule))
@pytest.mark.parametrize(("sampler", "form"), NEUTRAL, ids=lambda s: repr(s))
def test_a_neutral_value_gives_the_form_that_is_known(sampler, form, schedule):
    d, grid = Bumps(schedule), grids.Karras(12)(schedule)
    x = schedule.start(torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None])
    expected = form(d, x, grid, Seeded(range(5)))
    torch.testing.assert_close(sampler(d, x, grid, Seeded(range(5))), expected, rtol=1e-9, atol=1e-9)


SECOND = [DPM2Ancestral(), DPM2Ancestral(0.5), DPMpp2MSDE(), DPMpp2MSDE(0.5), DPMpp3MSDE(), DPMppSDE(), DPMppSDE(0.5)]
SECOND += [ERSDE(2), SASolver(), SASolver(2, 0)]


@pytest.mark.parametrize("sampler", SECOND, ids=repr)
def test_mean_and_spread_are_of_second_order_where_a_path_is_followed_with_first(sampler):
    """Of Gaussian data by propagation. The asymptote is reached from below, and 1.8 is beyond any method of first."""
    a, b = (error_of_the_marginal(sampler, Bell(RECTIFIED), uneven(n, RECTIFIED)) for n in (128, 256))
    assert math.log2(a / b) > 1.8


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_the_two_halves_of_a_step_add_up_to_the_noise_of_the_whole(eta):
    """Along a path, the step that uses the middle draws what the one that does not draws, where the guess is constant."""
    path, schedule = Path([1, 2], COSINE), Cosine()
    point = Normal(schedule, torch.tensor([0.7]), torch.zeros(1, 1))
    t, s = schedule.time(torch.tensor([-1.0, 0.5]))
    x_t = torch.randn(2, 400, 1, dtype=torch.float64)
    whole, _ = DPMpp1SDE(eta).step(point, x_t, t, s, None, path)
    halves, _ = DPMppSDE(eta).step(point, x_t, t, s, None, path)
    if eta == 1:
        torch.testing.assert_close(halves, whole, rtol=0, atol=1e-9)
    rows = affine(DPMppSDE(eta), point, torch.stack([t, s])).draws
    (_, std) = DPMpp1SDE(eta).transition(schedule, point(x_t, t), x_t, t, s)
    assert rows.square().sum().sqrt().item() == pytest.approx(std.item())
    assert (halves - whole).std() < 0.2 * std.item()


ONE_STEP = [EulerAncestral(0.7), DPMpp1SDE(0.5), ERSDE(1), EulerMaruyama(), EulerMaruyama(0.5), ReverseDiffusion()]


@pytest.mark.parametrize("sampler", ONE_STEP, ids=repr)
@pytest.mark.parametrize("ends", [(1.0, 0.7), (0.6, 0.5), (0.2, 0.0)])
def test_a_transition_is_what_the_step_draws_from(sampler, ends):
    d, (t, s) = two_classes(Cosine()), torch.tensor(ends, dtype=torch.float64)
    x_t = torch.randn(3, 2)
    mean, std = sampler.transition(d.schedule, d(x_t, t), x_t, t, s)
    x_s, _ = sampler.step(d, x_t, t, s, sampler.init(), Seeded(range(3)))
    torch.testing.assert_close(x_s, mean + std * Seeded(range(3)).draw(x_t))
    assert std > 0 or s == 0
    with pytest.raises(ValueError, match="degree=1"):
        ERSDE(2).transition(d.schedule, d(x_t, t), x_t, t, s)


@dataclass(frozen=True)
class Late:
    """A diffusion that grows as the data come near."""

    def __call__(self, t):
        return 1 - t / 2


@pytest.mark.parametrize("schedule", [COSINE, RECTIFIED, EXPLODING], ids=lambda s: repr(s.schedule))
def test_any_diffusion_coefficient_has_the_same_marginals_and_its_step_is_the_drift_of_the_sde(schedule):
    for eta in (0.5, Late()):
        a, b = (error_of_the_marginal(EulerMaruyama(eta), Bell(schedule), uneven(n, schedule)) for n in (256, 512))
        assert math.log2(a / b) > 0.85, eta
    d, t = Bell(schedule), torch.tensor(0.5, dtype=torch.float64)
    x_t, step = torch.randn(4, 1, dtype=torch.float64), 1e-6
    mean, std = EulerMaruyama(Late()).transition(schedule, d(x_t, t), x_t, t, t - step)
    drift, diffusion = backward(Normal(schedule.schedule, torch.tensor([0.4]), torch.tensor([[0.25]])), x_t, t, Late())
    torch.testing.assert_close((mean - x_t) / -step, drift, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(std / step**0.5, diffusion, rtol=1e-3, atol=0)


def test_the_published_third_order_of_er_sde_is_of_second_and_ours_of_third():
    """Cui et al.'s slope is a backward difference, (x_hat - x_hat_1) / (q - q_1), which is off by half a step."""

    @dataclass(frozen=True)
    class Published(ERSDE):
        def _weights(self, log_q, log_q_s):
            w = super()._weights(log_q, log_q_s)
            if len(log_q) < 3:
                return w
            q = log_q.exp()
            rise = torch.stack([1 / ((q[0] - q[1]) * (q[0] - q[2])), 1 / ((q[1] - q[0]) * (q[1] - q[2]))])
            rise = torch.cat([rise, 1 / ((q[2] - q[0]) * (q[2] - q[1]))[None]])
            first = super()._weights(log_q[:2], log_q_s)[1] * (q[1] - q[0])  # int (q - q_t) d(1 / phi)
            return w - rise * (q[0] - q[1]) * first

    error = lambda sampler, n: error_from_exact_history(sampler, Bumps(COSINE), uneven(n, COSINE))
    slope = lambda sampler: math.log2(error(sampler, 128) / error(sampler, 256))
    assert slope(ERSDE(3, eta=0.0)) > 2.85 and slope(Published(3, eta=0.0)) < 2.2
    assert slope(ERSDE(2, eta=0.0)) > 1.9


@pytest.mark.parametrize("orders", [(2, 3), (3, 2), (3, 0)])
def test_sa_solver_without_noise_has_the_order_that_it_declares(orders):
    """The corrector makes the last step again from where that one began, so a whole way is led, not a single step."""
    sampler = SASolver(*orders, tau=0.0)
    a, b = (error_from_exact_history(sampler, Bumps(COSINE), uneven(n, COSINE)) for n in (64, 128))
    assert math.log2(a / b) > sampler.order - 0.25


@pytest.mark.parametrize("schedule", [COSINE, EXPLODING], ids=lambda s: repr(s.schedule))
def test_annealed_langevin_is_right_with_many_corrections(schedule):
    """Mean and spread of Gaussian data by propagation: the bound is the error of the last levels, which are not long
    enough to forget the ones before, and is inversely proportional to the corrections."""
    grid = even(32, schedule)
    few, many = (error_of_the_marginal(AnnealedLangevin(0.1, k), Bell(schedule), grid) for k in (10, 40))
    assert few < 0.12 and many < 0.04 and many < few / 2.5


@pytest.mark.parametrize("predictor", [ReverseDiffusion(), DDIM(), DDPM()], ids=repr)
def test_a_corrector_mends_the_spread_of_its_predictor(predictor):
    grid = even(32, COSINE)
    alone = error_of_the_marginal(predictor, Bell(COSINE), grid)
    errors = [
        error_of_the_marginal(PredictorCorrector(predictor, corrections=k), Bell(COSINE), grid) for k in (1, 8, 32)
    ]
    assert errors[0] < alone and errors[1] < 0.6 * alone and errors[2] < 0.01


def test_measured_norms_are_each_samples_own_and_those_expected_where_samples_are_large():
    d, s = Bell(Cosine()), torch.tensor(0.5, dtype=torch.float64)
    x, pc = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), PredictorCorrector(norms=True)
    grid = torch.tensor([0.7, 0.6, 0.5], dtype=torch.float64)
    together = pc(d, x, grid, Seeded(range(3)))
    torch.testing.assert_close(pc(d, x[1:2], grid, Seeded([1])), together[1:2])
    wide = torch.randn(1, 40000, generator=torch.Generator().manual_seed(0)) * d.marginal(0.99)[1] ** 0.5
    grid = torch.tensor([0.99, 0.98, 0.97], dtype=torch.float64)
    measured, expected = (PredictorCorrector(DDIM(), norms=n)(d, wide, grid, Seeded([3])) for n in (True, False))
    assert (measured - expected).square().mean().sqrt() < 0.01 * expected.std()

    (alpha_s, sigma_s), z = d.schedule(s), Seeded([0, 1, 2]).draw(x)
    x_s, _ = DDIM().step(d, x, s + 0.1, s, None, None)
    eps = d(x_s, s).eps(x_s, alpha_s, sigma_s)
    step = 2 * sigma_s.float() ** 2 * (0.1 * z.norm(dim=1) / eps.norm(dim=1))[:, None] ** 2
    theirs = x_s - step * eps / sigma_s.float() + (2 * step).sqrt() * z
    ours, _ = PredictorCorrector(DDIM(), snr=0.1, norms=True).step(d, x, s + 0.1, s, None, Seeded([0, 1, 2]))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: EulerAncestral(1.5), "from 0 to 1"),
        (lambda: DPM2Ancestral(-0.1), "from 0 to 1"),
        (lambda: DPMpp1SDE(-1.0), "0 or more"),
        (lambda: DPMpp2MSDE(math.nan), "0 or more"),
        (lambda: DPMpp3MSDE(math.inf), "0 or more"),
        (lambda: DPMppSDE(-1.0), "0 or more"),
        (lambda: ERSDE(4), "1, 2 or 3"),
        (lambda: ERSDE(2, eta=-1.0), "0 or more"),
        (lambda: SASolver(5), "1 to 4"),
        (lambda: SASolver(3, 5), "0 to 4"),
        (lambda: SASolver(tau=-1.0), "0 or more"),
        (lambda: EulerMaruyama(-1.0), "0 or more"),
        (lambda: PredictorCorrector(snr=2.0), "from 0 to 0.7"),
        (lambda: PredictorCorrector(corrections=-1), "0 or more"),
        (lambda: AnnealedLangevin(step_size=2.0), "from 0 to 1"),
        (lambda: AnnealedLangevin(corrections=0), "1 or more"),
    ],
)
def test_what_cannot_be_is_refused_with_what_it_may_be(make, word):
    with pytest.raises(ValueError, match=word):
        make()
