"""Likelihoods along the flow and bounds of the chain against exact densities."""

import math

import numpy as np
import pytest
import torch
from truth import correlated, digit_mixture, digits, gaussian, two_bumps

from reverie.core.chain_likelihood import ChainBound
from reverie.core.divergences import Exact, Gaussian, Rademacher
from reverie.core.flow_likelihood import FlowLikelihood, Matched, Prior, Start, normal_log_prob
from reverie.core.grids import LogSNR
from reverie.core.likelihood import bits_per_dimension, dequantised
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture
from reverie.core.schedules import VE, Cosine, LinearBetas, Rectified
from reverie.core.solvers import Adaptive, Heun, RungeKutta4
from reverie.core.spaces import Space

f64 = torch.float64
FINE = LogSNR(100, low=-12.0, high=16.0)


class Known(Prior):
    """The true p_1 of an oracle, whatever is left of the data in it."""

    def __init__(self, oracle):
        self.oracle = oracle

    def __call__(self, schedule, x_1, space):
        return self.oracle.log_prob(x_1, 1.0)


@pytest.mark.parametrize(
    ("make", "schedule", "solver"),
    [
        (two_bumps, Cosine(), RungeKutta4()),
        (two_bumps, VE(), Adaptive(1e-5, 1e-5)),
        (correlated, Rectified(), Adaptive(1e-5, 1e-5)),
        (correlated, VE(), RungeKutta4()),
        (correlated, LinearBetas(), Adaptive(1e-5, 1e-5)),
    ],
    ids=lambda part: getattr(part, "__name__", type(part).__name__),
)
def test_the_flow_s_likelihood_is_the_exact_one_to_a_ten_thousandth_a_dimension(make, schedule, solver):
    d, noise = make(schedule), Seeded.at(0, range(8))
    x = d.sample(noise)
    found = FlowLikelihood(Exact(together=2), FINE, solver, Known(d))(d, x, noise)
    assert ((found.nats - d.log_prob(x, 0.0)) / found.dim).abs().max() < 1e-4
    assert found.error.equal(torch.zeros(8, dtype=f64)) and found.dim.tolist() == [x.shape[1]] * 8


@pytest.mark.slow
def test_so_it_is_for_held_out_digits_under_their_mixture():
    d, x = digit_mixture(Cosine()), digits()[1][:2]
    found = FlowLikelihood(Exact(together=64), FINE, Adaptive(1e-5, 1e-5))(d, x, Seeded.at(0, range(2)))
    assert ((found.nats - d.log_prob(x, 0.0)) / 64).abs().max() < 1e-4


@pytest.mark.parametrize(("solver", "order"), [(Heun(), 2), (RungeKutta4(), 4)], ids=["heun", "rk4"])
def test_fixed_steps_converge_at_their_order(solver, order):
    d, noise = two_bumps(Cosine()), Seeded.at(0, range(6))
    x = d.sample(noise)
    truth = FlowLikelihood(Exact(), LogSNR(128, -8, 6), RungeKutta4())(d, x, noise).nats
    errors = [
        (FlowLikelihood(Exact(), LogSNR(n, -8, 6), solver)(d, x, noise).nats - truth).abs().mean() for n in (24, 48)
    ]
    assert math.log2(errors[0] / errors[1]) > order - 0.3


@pytest.mark.parametrize("kind", [Rademacher, Gaussian])
def test_hutchinson_is_within_three_of_its_standard_errors_which_are_true(kind):
    """50 repeats of one sample: their spread is the reported error to 3 / sqrt(2 * 49) = 0.43 of it, with what eight
    probes leave unsure of each, and their mean is the exact value to three standard errors of it.
    """
    stream = torch.Generator().manual_seed(0)
    roots = torch.randn(3, 6, 6, generator=stream, dtype=f64) / 3
    covariances = roots @ roots.mT + 0.02 * torch.eye(6)
    d = Mixture.of(Cosine(), torch.ones(3), torch.randn(3, 6, generator=stream, dtype=f64), covariances)
    x, grid = d.sample(Seeded.at(0, [0])).expand(50, 6), LogSNR(16, -8, 6)
    exact = FlowLikelihood(Exact(together=6), grid)(d, x[:1], Seeded.at(0, [0])).nats
    found = FlowLikelihood(kind(8), grid)(d, x, Seeded.at(5, range(50)))
    assert abs(found.nats[0] - exact) < 3 * found.error[0]
    spread = found.nats.std()
    assert (found.nats.mean() - exact).abs() < 3 * spread / 50**0.5
    assert spread / found.error.square().mean().sqrt() == pytest.approx(1, abs=0.43)
    alone = FlowLikelihood(kind(8), grid)(d, x[:1], Seeded.at(5, [7]))
    torch.testing.assert_close(alone.nats[0], found.nats[7])
    assert FlowLikelihood(kind(1), LogSNR(2, -8, 6))(d, x[:2], Seeded.at(5, range(2))).error.isnan().all()


def test_adaptive_steps_are_each_sample_s_own_and_give_up_aloud():
    d, noise = two_bumps(Cosine()), Seeded.at(0, range(6))
    x, likelihood = d.sample(noise), FlowLikelihood(Exact(), solver=Adaptive(1e-4, 1e-4))
    together, alone = likelihood(d, x, noise), likelihood(d, x[2:3], Seeded.at(0, [2]))
    torch.testing.assert_close(alone.nats[0], together.nats[2], rtol=1e-9, atol=1e-9)
    assert alone.evaluations[0] == together.evaluations[2] and len(together.evaluations.unique()) > 1
    with pytest.raises(ValueError, match="larger tolerances"):
        FlowLikelihood(Exact(), solver=Adaptive(1e-9, 1e-9, most=3))(d, x, noise)


def test_an_adaptive_solver_keeps_its_tolerance_on_a_rotation():
    turn = lambda u, z: torch.stack([-z[:, 1], z[:, 0]], 1)
    z, ends = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=f64), torch.tensor([[0.0, 0.0], [6.0, 1.0]], dtype=f64)
    for tolerance in (1e-4, 1e-7):
        found = Adaptive(tolerance, tolerance)(turn, z, ends)
        truth = torch.tensor([[math.cos(6), math.sin(6)], [-2 * math.sin(1), 2 * math.cos(1)]], dtype=f64)
        assert (found.z - truth).abs().max() < 20 * tolerance and found.evaluations[0] > found.evaluations[1]


def test_a_prior_says_what_is_left_of_the_data_at_t_1():
    """On Gaussian data the matched prior is exact; where samplers start is another model, by the ratio of the two."""
    d, noise = gaussian(VE(2.0), 0.5, 2), Seeded.at(0, range(6))
    x = d.sample(noise)
    matched, start = (FlowLikelihood(Exact(), FINE, prior=p)(d, x, noise).nats for p in (Matched(0.0, 0.5), Start()))
    torch.testing.assert_close(matched, d.log_prob(x, 0.0), rtol=0, atol=1e-4)
    x_1 = x * math.hypot(0.5, 2.0) / 0.5
    ratio = normal_log_prob(x_1, 0.0, 2.0) - normal_log_prob(x_1, 0.0, math.hypot(0.5, 2.0))
    torch.testing.assert_close(start - matched, ratio, rtol=0, atol=1e-4)


def test_only_the_directions_of_the_space_count():
    """Centred Gaussian coordinates of which some are padding: a Gaussian of fewer dimensions."""
    mask = (torch.arange(4)[:, None] < torch.tensor([4, 3])[:, None, None]).double()
    space, d = Space(mask, centred=2), gaussian(Cosine(), 0.5, 2)
    x = space.project(0.5 * torch.randn(2, 4, 2, dtype=f64))
    found = FlowLikelihood(Exact(), LogSNR(64, -10, 14))(d, x, Seeded.at(0, range(2)), space)
    assert found.dim.tolist() == [6, 4]
    torch.testing.assert_close(found.nats, normal_log_prob(x, 0.0, 0.5, space), rtol=0, atol=1e-3)


def test_dequantised_density_bounds_the_bits_of_a_level_from_above():
    """The mass of each cell from the distribution itself; the mean over u on a fine lattice of it."""
    d, width = two_bumps(Cosine()), 0.25
    levels = torch.arange(-1.25, 1.3, width, dtype=f64)[:, None]
    mass = d.cdf(levels + width / 2, 0.0) - d.cdf(levels - width / 2, 0.0)
    u = (torch.arange(400, dtype=f64) + 0.5) / 400 - 0.5
    nats = d.log_prob((levels + width * u)[..., None], 0.0).mean(1)
    bound, exact = bits_per_dimension(nats, 1, width), -mass[:, 0].log2()
    assert (bound >= exact - 1e-6).all() and (bound - exact).max() > 0.05
    assert bits_per_dimension(torch.zeros(1), 3, 2 / 255).item() == pytest.approx(math.log2(127.5))
    noise = lambda index: Seeded.at(0, index)
    drawn = dequantised(levels.expand(11, 500), width, noise(range(11))) - levels
    assert drawn.abs().max() < width / 2 and drawn.std().item() == pytest.approx(width / 12**0.5, rel=0.03)
    assert dequantised(levels[3:4], width, noise([3])).equal(dequantised(levels, width, noise(range(11)))[3:4])


class Nodes:
    """The same noise at every draw: nodes of a quadrature."""

    def __init__(self, eps):
        self.eps = eps

    def draw(self, like, t=None, s=None):
        return self.eps


@pytest.mark.parametrize(("schedule", "left"), [(Cosine(), 0.06), (VE(3.0), 0.2)], ids=["Cosine", "VE"])
def test_the_chain_s_bound_falls_to_the_entropy_as_its_steps_grow(schedule, left):
    """Expectations over data and noise by quadrature, no Monte Carlo; four times the steps at least halve the gap.

    What 128 steps leave is more where they are longer: sigma grows as t^7 in the second.
    """
    d = two_bumps(schedule)
    x, (eps, w) = (
        torch.linspace(-2.2, 2.2, 133, dtype=f64),
        map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(20)),
    )
    p = d.log_prob(x[:, None], 0.0).exp() * (x[1] - x[0])
    weight = (p[:, None] * w / w.sum()).flatten()
    rows = torch.cartesian_prod(x, eps)
    entropy = -(p * d.log_prob(x[:, None], 0.0)).sum().item() / math.log(2)
    gaps = []
    for count in (8, 32, 128):
        bound = ChainBound(count, None)
        bits = bound(d, rows[:, :1], Nodes(rows[:, 1:]))
        gaps.append((weight @ bits).item() - entropy - prior_gap(d, bound, rows, weight))
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[2] < left and gaps[1] / gaps[2] > 2


def prior_gap(d, bound, rows, weight):
    """What the prior's term costs more than the true p_1 would: nothing where alpha_1 = 0."""
    alpha, sigma = d.schedule(1.0)
    if alpha == 0:
        return 0.0
    x_1 = alpha * rows[:, :1] + sigma * rows[:, 1:]
    return (weight @ (d.log_prob(x_1, 1.0) - normal_log_prob(x_1, 0.0, sigma.item()))).item() / math.log(2)


def test_the_terms_of_the_chain_add_up_and_the_first_is_the_prior_s():
    d, n = two_bumps(LinearBetas()), 50
    x = d.sample(Seeded.at(0, range(n)))
    terms = list(ChainBound(10, None).terms(d, x, Seeded.at(1, range(n))))
    assert [term.t for term in terms] == pytest.approx([1.0, *(i / 10 for i in range(10, 0, -1))])
    assert terms[-1].s == 0 and all(term.bits.shape == (n,) for term in terms)
    alpha, sigma = LinearBetas()(1.0)
    torch.testing.assert_close(terms[0].bits, (alpha * x[:, 0] / sigma) ** 2 / 2 / math.log(2))
    total = ChainBound(10, None)(d, x, Seeded.at(1, range(n)))
    torch.testing.assert_close(torch.stack([term.bits for term in terms]).sum(0), total)
    zero = next(iter(ChainBound(10).terms(two_bumps(Cosine()), x, Seeded.at(1, range(n)))))
    assert zero.bits.abs().max() == 0


def test_bits_of_levels_by_chain_and_by_flow_bound_those_of_the_exact_masses():
    """Data of a mixture rounded to levels 0.1 apart: both are bounds, to three standard errors, and near."""
    d, width, n = two_bumps(Cosine()), 0.1, 800
    x = (d.sample(Seeded.at(0, range(n))) / width).round() * width
    exact = -(d.cdf(x + width / 2, 0.0) - d.cdf(x - width / 2, 0.0)).log2()[:, 0]
    noise = Seeded.at(1, range(n))
    nats = d.log_prob(dequantised(x, width, noise), 0.0)
    for bits in (ChainBound(50, width)(d, x, noise), bits_per_dimension(nats, 1, width)):
        gap = bits - exact
        assert -3 * gap.std() / n**0.5 < gap.mean() < 0.6
