"""What every posterior promises, and how near each comes to exact ones."""

import itertools

import pytest
import torch
from truth import SAMPLERS

from reverie.core import grids
from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture, Normal
from reverie.errors import ReverieError
from reverie.posterior.conjugate_residuals import solve
from reverie.posterior.ddnm import DDNM
from reverie.posterior.ddrm import DDRM
from reverie.posterior.dps import DPS
from reverie.posterior.lanczos import log_determinant
from reverie.posterior.mmps import MMPS
from reverie.posterior.operators.downsampling import Area
from reverie.posterior.operators.mask import Mask
from reverie.posterior.operators.quantisation import Quantisation
from reverie.posterior.pigdm import PiGDM
from reverie.posterior.replacement import RePaint, Replacement
from reverie.posterior.tds import TDS
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpmpp_2m import DPMpp2M

from .problems import BELL, GUESSES, NAMES, ROW, SCHEDULE, STD, STEPS, TWO, A, Y, built, sampled, start

each = pytest.mark.parametrize("name", NAMES)
each_guess = pytest.mark.parametrize("name", GUESSES)
GRID = grids.Uniform(4)(SCHEDULE)


def test_all_that_were_asked_for_are_found():
    assert sorted(GUESSES) == ["DDNM", "DPS", "MMPS", "PiGDM", "TMPD"]
    assert sorted(STEPS) == ["DAPS", "DDNMPlus", "DDRM", "DiffPIR", "RePaint", "Replacement", "TDS"]


@each
def test_a_sample_does_not_depend_on_its_batch(name):
    y = torch.tensor([[0.9, 0.0], [-0.4, 0.0], [0.1, 0.0]])
    around, sampler = built(name, TWO, y)
    x_1, noise = start(name, range(3))
    together = sampler(around, x_1, GRID, noise)
    around, sampler = built(name, TWO, y[1:2])
    alone = sampler(around, x_1[1:2], GRID, start(name, [1])[1])
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-5)
    assert together.isfinite().all() and together.dtype == torch.float32


@each
def test_a_y_that_does_not_fit_the_samples_is_refused_in_one_line(name):
    around, sampler = built(name, TWO, torch.zeros(1, 3))
    x_1, noise = start(name, range(2))
    with pytest.raises(ReverieError, match="but y is 1 x 3"):
        sampler(around, x_1, GRID, noise)


@each
def test_what_an_operator_lacks_is_said_in_one_line(name):
    if "spectrum" not in (GUESSES | STEPS)[name].needs:
        built(name, TWO, operator=Quantisation())
        return
    with pytest.raises(ReverieError, match="needs the spectrum of the operator"):
        built(name, TWO, operator=Quantisation())


@each
def test_noise_of_no_deviation_is_refused(name):
    if name != "DDNM":
        with pytest.raises(ReverieError, match="deviation of 0 or more"):
            built(name, TWO, std_y=-1.0)


@each_guess
def test_a_guess_is_finite_at_both_ends_keeps_doubles_and_has_the_right_gradient(name):
    around, _ = built(name, TWO)
    x_t = torch.tensor([[0.3, -0.2], [0.5, 0.9]], dtype=torch.float64)
    for t in (0.0, 0.4, 1.0):
        x_hat = around(x_t, torch.tensor(t, dtype=torch.float64)).x_hat
        assert x_hat.isfinite().all() and x_hat.dtype == torch.float64
    t = torch.tensor(0.5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: around(x, t).x_hat, x_t.requires_grad_(), atol=1e-5)


def test_moment_matching_is_exact_on_gaussian_data():
    exact, around = BELL.posterior(Y[0, :1], ROW, STD), MMPS(BELL, Y, A, STD)
    x_t = Seeded(range(5)).draw(torch.empty(5, 2, dtype=torch.float64))
    for t in (0.1, 0.5, 0.9):
        torch.testing.assert_close(around(x_t, torch.tensor(t)).x_hat, exact(x_t, t).x_hat, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_pseudo_inverse_guidance_is_exact_on_white_gaussian_data():
    white = Normal(SCHEDULE, torch.zeros(2), 0.49 * torch.eye(2))
    exact, around = white.posterior(Y[0, :1], ROW, STD), PiGDM(white, Y, A, STD, std_data=0.7, power=float("inf"))
    x_t = Seeded(range(5)).draw(torch.empty(5, 2, dtype=torch.float64))
    for t in (0.1, 0.5, 0.9):
        torch.testing.assert_close(around(x_t, torch.tensor(t)).x_hat, exact(x_t, t).x_hat, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("std_y", "power"), [(0.0, 0.0), (0.0, 4.0), (STD, 0.0)])
def test_a_step_of_pseudo_inverse_guidance_is_the_papers(std_y, power):
    """x_s <- x_s + alpha_s alpha_t K J^T A^+ (y - A x_hat): K is 1 without noise, whatever the power."""
    x_t = Seeded(range(5)).draw(torch.empty(5, 2, dtype=torch.float64)).requires_grad_()
    t, s = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    (alpha_t, sigma_t), (alpha_s, _) = SCHEDULE(t), SCHEDULE(s)
    plain = TWO(x_t, t)
    r_2 = sigma_t**2 / (alpha_t**2 + sigma_t**2)
    gap = r_2 / (r_2 + std_y**2) * A.pseudo_inverse(Y - A(plain.x_hat))
    (led,) = torch.autograd.grad(plain.x_hat, x_t, gap.detach())
    before, _ = DDPM().transition(SCHEDULE, TWO(x_t, t), x_t, t, s)
    after, _ = DDPM().transition(SCHEDULE, PiGDM(TWO, Y, A, std_y, power=power)(x_t, t), x_t, t, s)
    torch.testing.assert_close(after, before + alpha_s * alpha_t * led)


@pytest.mark.parametrize("power", [-1.0, float("nan")])
def test_a_power_of_pseudo_inverse_guidance_that_cannot_be_is_refused(power):
    with pytest.raises(ReverieError, match="0 or more"):
        PiGDM(TWO, Y, A, STD, power=power)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_a_guess_works_with_every_sampler(sampler):
    x_1, y = Seeded(range(3)).draw(torch.empty(3, 2)), torch.tensor([[0.9, 0.0], [-0.4, 0.0], [0.1, 0.0]])
    together = sampler(MMPS(TWO, y, A, STD), x_1, GRID, Seeded(range(3)))
    alone = sampler(MMPS(TWO, y[1:2], A, STD), x_1[1:2], GRID, Seeded([1]))
    assert together.isfinite().all()
    torch.testing.assert_close(alone, together[1:2], rtol=1e-3, atol=1e-4)


def test_dps_takes_one_norm_a_sample():
    """The gradient of |e| is of length 1 in y, however far away y is and however many samples there are."""
    x_t, t = torch.zeros(64, 2), torch.tensor(0.5, dtype=torch.float64)
    plain = BELL(x_t, t).x_hat
    near, far = (DPS(BELL, y * Y, A, STD)(x_t, t).x_hat - plain for y in (2.0, 200.0))
    torch.testing.assert_close(near, far)
    torch.testing.assert_close(DPS(BELL, 2 * Y, A, STD)(x_t[:1], t).x_hat - plain[:1], near[:1])


BIAS = {
    "MMPS": 0.15, "TMPD": 0.15, "TDS": 0.2, "DPS": 0.6, "PiGDM": 0.4, "DDNM": 0.6, "DiffPIR": 0.9, "DDRM": 0.6,
    "DDNMPlus": 0.6, "Replacement": 0.6, "RePaint": 0.6, "DAPS": 0.7,
}  # fmt: skip
"""In exact deviations, of the mean of 256 samples: 0.06 is one deviation of that mean. Those of the first three are exact on
Gaussian data but for the steps; the others are what their approximations leave, and no conditioning leaves 0.95."""


@each
def test_the_mean_comes_near_the_exact_one(name):
    x = sampled(name, BELL, 256, 48)
    mean, covariance = BELL.posterior(Y[0, :1], ROW, STD).marginal(0.0)
    bias = ((x.mean(0) - mean) / covariance.diagonal().sqrt()).abs()
    assert bias.max() < BIAS[name], bias


@pytest.mark.parametrize("name", ["MMPS", "TMPD", "TDS"])
def test_intervals_of_the_exact_ones_are_calibrated(name):
    """90 % intervals of the samples cover 80 to 97 % of the exact posterior."""
    x, exact = (
        sampled(name, BELL, 256, 48).double(),
        BELL.posterior(Y[0, :1], ROW, STD).sample(Seeded.at(1, range(2048))),
    )
    low, high = x.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), 0)
    covered = ((low <= exact) & (exact <= high)).double().mean(0)
    assert (covered > 0.8).all() and (covered < 0.97).all(), covered


def test_the_twisted_sampler_corrects_what_moment_matching_gets_wrong():
    """y = 0.3 leaves both classes likely. One deviation of the mean of 512 independent samples is 0.05; these share ancestors."""
    y = torch.tensor([[0.3, 0.0]])
    mean, _ = TWO.posterior(y[0, :1], ROW, STD).marginal(0.0)
    x = sampled("TDS", TWO, 512, 48, y)
    assert (x.mean(0) - mean)[1].abs() < 0.15, (x.mean(0), mean)


@pytest.mark.parametrize("until", [TDS.until, float("inf")])
def test_the_twisted_sampler_knows_how_likely_each_class_makes_the_measurement(until):
    """One class has entries that go together, the other has not, so that how much room each leaves y decides: det S.

    One deviation of a share of 512 independent particles is 0.02; these share ancestors.
    """
    together, apart = torch.full((8, 8), 0.5) + 0.02 * torch.eye(8), 0.25 * torch.eye(8)
    classes = Mixture.of(SCHEDULE, torch.tensor([0.5, 0.5]), torch.zeros(2, 8), torch.stack([together, apart]))
    y = 0.45 + 0.35 * Seeded([0]).draw(torch.empty(1, 8))
    exact = classes.posterior(y[0].double(), torch.eye(8, dtype=torch.float64), 0.3).weights[0]
    assert 0.5 < exact < 0.8
    x_1 = SCHEDULE.start(Seeded([1]).draw(torch.empty(1, 512, 8)))
    sampler = TDS(y, Mask(torch.ones(8, dtype=torch.bool)), 0.3, until=until)
    x = sampler(classes, x_1, grids.Uniform(48)(SCHEDULE), Seeded([2]))[0].double()
    a, b = (torch.distributions.MultivariateNormal(torch.zeros(8).double(), one.double()).log_prob(x)
            for one in (together, apart))  # fmt: skip
    assert abs(torch.sigmoid(a - b).mean() - exact) < 0.1


def test_a_twisted_particle_that_is_never_weighed_goes_the_way_of_moment_matching():
    x_1, y = Seeded(range(3)).draw(torch.empty(3, 2)), torch.tensor([[0.9, 0.0], [-0.4, 0.0], [0.1, 0.0]])
    matched = DDPM()(MMPS(TWO, y, A, STD), x_1, GRID, Seeded(range(3)))
    twisted = TDS(y, A, STD, until=-float("inf"))(TWO, x_1[:, None], GRID, Seeded(range(3)))
    torch.testing.assert_close(twisted[:, 0], matched)
    assert not TDS(y, A, STD)(TWO, x_1[:, None].repeat(1, 4, 1), GRID, Seeded(range(3))).allclose(matched[:, None])


def test_determinants_are_those_of_each_row_and_exact_where_that_is_cheap():
    generator = torch.Generator().manual_seed(0)
    few = torch.tensor([1.0, 4.0, 4.0, 9.0, 1.0, 9.0], dtype=torch.float64).expand(2, -1)
    exact = few.log().sum(1)
    torch.testing.assert_close(log_determinant(lambda v: few * v, few, 3, 1, 1e-3), exact)
    torch.testing.assert_close(
        log_determinant(lambda v: few * v, few, 20, 1, 1e-3), exact
    )  # more than there are numbers
    torch.testing.assert_close(
        log_determinant(lambda v: 0 * v, few, 3, 2, 0.5), 6 * torch.tensor([0.5, 0.5]).double().log()
    )
    root = torch.randn(2, 40, 40, generator=generator, dtype=torch.float64)
    M = root @ root.mT / 40 + 0.3 * torch.eye(40)
    exact, like = M.logdet(), torch.zeros(2, 40, dtype=torch.float64)

    def product(v):
        return (M[: len(v)] @ v[..., None])[..., 0]

    theta, U = torch.linalg.eigh(M)
    log_M = U @ theta.log().diag_embed() @ U.mT
    deviation = (2 * (log_M - log_M.diagonal(dim1=1, dim2=2).diag_embed()).square().sum((1, 2)) / 200).sqrt()
    assert ((log_determinant(product, like, 15, 200, 0.3) - exact).abs() < 3 * deviation).all()
    assert log_determinant(product, like[:1], 15, 2, 0.3).equal(log_determinant(product, like, 15, 2, 0.3)[:1])


def test_kept_entries_are_those_of_y_to_the_bit():
    y = torch.tensor([[0.123456789, 0.0]])
    for method in (Replacement(y, A), RePaint(y, A, jump=2, repeats=2), DDRM(y, A)):
        x_1, noise = start("", range(4))
        assert (method(TWO, x_1, GRID, noise)[:, 0] == y[0, 0]).all()


def test_repaint_walks_as_its_grid_does_and_counts():
    x_1, noise = start("", range(2))
    sampler, grid = RePaint(Y, A, jump=2, repeats=3), grids.Uniform(4)
    walked = grids.Resampled(grid, 2, 3)(SCHEDULE)
    assert sampler.walk(SCHEDULE, grid(SCHEDULE)).equal(walked)
    *_, last = sampler.trajectory(TWO, x_1, grid(SCHEDULE), noise)
    assert last.evaluations == sampler.evaluations.total(SCHEDULE, walked) == 12
    again = RePaint(Y, A, jump=2, repeats=3)(TWO, x_1, walked, Seeded(range(5, 7)))
    assert again.equal(RePaint(Y, A, jump=2, repeats=3)(TWO, x_1, grid(SCHEDULE), Seeded(range(5, 7))))


def test_samplers_that_remember_are_not_wrapped():
    with pytest.raises(ReverieError, match="remembers nothing"):
        Replacement(Y, A, sampler=DPMpp2M())


def test_particles_want_noise_and_a_grid_that_falls():
    with pytest.raises(ReverieError, match="give std_y above 0"):
        TDS(Y, A)
    with pytest.raises(ReverieError, match="1 or more"):
        TDS(Y, A, STD, probes=0)
    x_1, noise = start("TDS", range(2))
    with pytest.raises(ReverieError, match="on a grid that falls, and to 0"):
        TDS(Y, A, STD)(TWO, x_1, grids.Resampled(grids.Uniform(4), 2, 2)(SCHEDULE), noise)
    with pytest.raises(ReverieError, match="on a grid that falls, and to 0"):
        TDS(Y, A, STD)(TWO, x_1, GRID[:-1], noise)
    restarts = grids.Restart(grids.Uniform(16), ((2, 2, 0.15, 0.58),))(SCHEDULE)  # log-SNR of 1.09 and more
    assert TDS(Y, A, STD)(TWO, x_1, restarts, noise).isfinite().all()
    with pytest.raises(ReverieError, match="on a grid that falls, and to 0"):
        TDS(Y, A, STD, until=2.0)(TWO, x_1, restarts, noise)


def test_conditions_of_a_row_are_those_of_each_particle():
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    x_1, noise = start("TDS", range(2), K=6)
    y = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    x = TDS(y, A, STD)(TWO.given(weights=weights), x_1, grids.Uniform(16)(SCHEDULE), noise)
    assert x.shape == (2, 6, 2) and (x[0, :, 1].mean() < 0 < x[1, :, 1].mean())


def test_conjugate_residuals_solve_and_never_go_astray():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    M, b = root @ root.mT + torch.eye(6), torch.randn(3, 6, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(solve(lambda v: v @ M, b, 12, tolerance=1e-12), b @ M.inverse(), rtol=1e-6, atol=1e-8)
    assert solve(lambda v: -v, b, 5).equal(torch.zeros_like(b))
    mixed = torch.diag(torch.tensor([1.0, -3.0, 2.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    assert solve(lambda v: v @ mixed, b, 50).abs().max() < 50 * b.abs().max()
    assert solve(lambda v: v @ M, b, 5, floor=1e6).equal(torch.zeros_like(b))
    for _ in range(
        20
    ):  # neither symmetric nor positive, as a learned network's: what is left falls with each iteration
        crooked = torch.randn(6, 6, generator=generator, dtype=torch.float64)
        left = [(b - solve(lambda v: v @ crooked, b, k) @ crooked).norm(dim=1) for k in range(5)]
        assert all((b <= a * (1 + 1e-9)).all() for a, b in itertools.pairwise(left))


class Shrunk(Denoiser):
    schedule = SCHEDULE

    def forward(self, x_t, t):
        return Estimate(x_t * (1 - t.float()))


def test_any_shape_and_operator_goes():
    y = torch.zeros(1, 1, 2, 2)

    x_1 = SCHEDULE.start(Seeded(range(2)).draw(torch.empty(2, 1, 8, 8)))
    for name in NAMES:
        if name == "TDS":
            continue
        around, sampler = built(name, Shrunk(), y, Area(4), 0.0)
        assert sampler(around, x_1, GRID, Seeded(range(2))).shape == (2, 1, 8, 8)
    with pytest.raises(ReverieError, match="multiples of 4"):
        DDNM(Shrunk(), y, Area(4))(torch.zeros(1, 1, 9, 8), torch.tensor(0.5))
