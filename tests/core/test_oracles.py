"""Oracles against autograd, quadrature, Bayes and each other."""

import math

import pytest
import torch
from truth import correlated, digit_mixture, digits, gaussian, levels, two_bumps

from reverie.core.noise import Seeded
from reverie.core.oracles import Empirical, Mixture, Normal, fit
from reverie.core.schedules import VE, Cosine, Rectified, ScaledLinearBetas
from reverie.core.sdes import velocity

f64 = torch.float64
LINE = torch.linspace(-6, 6, 241, dtype=f64)
PLANE, CELL = torch.cartesian_prod(LINE, LINE), (LINE[1] - LINE[0]).item() ** 2


def normal(schedule):
    return Normal(schedule, torch.tensor([0.3, -0.2]), torch.tensor([[0.5, 0.3], [0.3, 0.4]]))


def points(schedule):
    return Empirical(schedule, torch.tensor([[-1.0, 0.2], [0.4, 0.9], [1.1, -0.8], [0.4, 0.9]]), chunk=3)


ORACLES = [normal, correlated, lambda schedule: gaussian(schedule, dim=2), points]
each_oracle = pytest.mark.parametrize("make", ORACLES, ids=["normal", "correlated", "isotropic", "points"])
each_schedule = pytest.mark.parametrize("schedule", [Cosine(), VE(3.0), ScaledLinearBetas()], ids=repr)


@each_schedule
@each_oracle
def test_the_score_is_the_gradient_of_the_density_and_tells_the_guess(make, schedule):
    """Tweedie: alpha x_hat = x_t + sigma^2 score."""
    d, x = make(schedule), torch.randn(5, 2, dtype=f64)
    for t in (0.0, 0.05, 0.6, 1.0)[make is points :]:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(d.log_prob(x, t).sum(), x)
        score, (alpha, sigma) = d.score(x.detach(), t), schedule(t)
        torch.testing.assert_close(score, slope, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(alpha * d(x.detach(), torch.tensor(t, dtype=f64)).x_hat, x + sigma**2 * score)


@each_oracle
def test_densities_sum_to_one_and_their_mean_is_the_marginal_s(make):
    d = make(Cosine())
    for t in (0.2, 0.7):
        p = d.log_prob(PLANE, t).exp() * CELL
        assert p.sum().item() == pytest.approx(1, abs=1e-8)
        if make is not points:
            mean, covariance = d.marginal(t)
            torch.testing.assert_close(p @ PLANE, mean, rtol=0, atol=1e-7)
            torch.testing.assert_close((p * (PLANE - mean).mT) @ (PLANE - mean), covariance, rtol=0, atol=1e-7)


@each_oracle
def test_the_guess_is_the_conditional_mean(make):
    """By Bayes on a lattice; the points by their own sum."""
    d, t, x_t = make(Cosine()), torch.tensor(0.45, dtype=f64), torch.tensor([[0.4, -0.3], [-0.8, 1.0]], dtype=f64)
    alpha, sigma = Cosine()(t)
    x, prior = (d.points, torch.zeros(4)) if make is points else (PLANE, d.log_prob(PLANE, 0.0))
    posterior = (prior - ((x_t[:, None] - alpha * x) ** 2).sum(-1) / (2 * sigma**2)).softmax(-1)
    torch.testing.assert_close(d(x_t, t).x_hat, posterior @ x, rtol=1e-8, atol=1e-8)


@each_oracle
def test_samples_have_the_moments_of_the_marginal_and_streams_of_their_own(make):
    """3000 draws: six standard errors of each mean, and of each variance of a nearly Gaussian coordinate."""
    d, n = make(Cosine()), 3000
    for t in (0.0, 0.5):
        x = d.sample(Seeded.at(3, range(n)), t)
        if make is points:
            alpha, sigma = Cosine()(t)
            centre = alpha * d.points.mean(0)
            spread = alpha**2 * d.points.mT.cov(correction=0) + sigma**2 * torch.eye(2)
        else:
            centre, spread = d.marginal(t)
        error = spread.diagonal().sqrt() / n**0.5
        assert ((x.mean(0) - centre).abs() < 6 * error).all()
        scale = (spread.diagonal()[:, None] * spread.diagonal()).sqrt() * (2 / n) ** 0.5
        assert ((x.mT.cov() - spread).abs() < 6 * scale).all()
        assert d.sample(Seeded.at(3, [7, 2]), t).equal(x[[7, 2]])


@each_oracle
def test_float32_agrees_with_float64_and_time_may_have_any_shape(make):
    d, x, t = make(Cosine()), torch.randn(4, 2, dtype=f64), torch.tensor([0.2, 0.5, 0.8, 1.0], dtype=f64)
    for of in (lambda x, t: d(x, t).x_hat, d.score, d.log_prob):
        by_row = of(x, t)
        assert of(x.float(), t).dtype == torch.float32
        torch.testing.assert_close(of(x.float(), t).double(), by_row, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(of(x, t[:, None]), by_row)
        for i in range(4):
            torch.testing.assert_close(of(x[i : i + 1], t[i]), by_row[i : i + 1])


def test_full_covariances_that_are_isotropic_are_the_isotropic_mixture():
    plain, x = two_bumps(Cosine()), torch.randn(6, 1, dtype=f64)
    full = Mixture.of(Cosine(), plain.weights, plain.means, plain.stds[:, :, None] ** 2)
    assert full.axes is not None
    for t in (0.1, 0.9):
        torch.testing.assert_close(full(x, t).x_hat, plain(x, t).x_hat)
        torch.testing.assert_close(full.log_prob(x, t), plain.log_prob(x, t))
    one = correlated(Cosine()).given(weights=torch.tensor([0.0, 1.0, 0.0]))
    d = correlated(Cosine())
    alone = Normal(Cosine(), d.means[1], d.covariances[1])
    x = torch.randn(6, 2, dtype=f64)
    torch.testing.assert_close(one(x, torch.tensor(0.4)).x_hat, alone(x, torch.tensor(0.4)).x_hat)


def test_entries_at_levels_of_their_own_are_refused_where_they_are_correlated():
    t = torch.tensor([[0.2, 0.7]], dtype=f64)
    for d in (normal(Cosine()), correlated(Cosine())):
        with pytest.raises(ValueError, match="correlation"):
            d(torch.zeros(1, 2), t)
    x_hat = gaussian(Cosine(), 0.5, 2)(torch.ones(1, 2, dtype=f64), t).x_hat
    apart = [gaussian(Cosine(), 0.5, 1)(torch.ones(1, 1, dtype=f64), s).x_hat for s in t[0]]
    torch.testing.assert_close(x_hat, torch.cat(apart, 1))


@pytest.mark.parametrize(
    ("A", "std"), [([[1.0, 0.5]], 0.2), ([[1.0, 0.0], [0.3, 1.0]], [0.3, 0.6]), ([[0.0, 2.0]], 1.5)]
)
def test_the_posterior_is_bayes_on_a_lattice(A, std):
    d, A, std = correlated(Cosine()), torch.tensor(A, dtype=f64), torch.tensor(std, dtype=f64)
    y = A @ torch.tensor([0.7, 0.4], dtype=f64)
    gap = ((y - PLANE @ A.mT) / std).square().sum(1)
    truth = (d.log_prob(PLANE, 0.0) - gap / 2).log_softmax(0) - math.log(CELL)
    posterior = d.posterior(y, A, std)
    near = truth > -25
    torch.testing.assert_close(posterior.log_prob(PLANE, 0.0)[near], truth[near], rtol=0, atol=1e-6)
    mean = posterior.marginal(0.0)[0]
    torch.testing.assert_close(mean, (truth.exp() * CELL) @ PLANE, rtol=0, atol=1e-6)
    assert ((posterior.sample(Seeded.at(0, range(2000))).mean(0) - mean).abs() < 6 / 2000**0.5).all()


def test_a_measurement_without_noise_is_kept_and_what_contradicts_itself_is_refused():
    d, A = correlated(Cosine()), torch.tensor([[1.0, 1.0]], dtype=f64)
    x = d.posterior(torch.tensor([0.8]), A, 0.0).sample(Seeded.at(0, range(50)))
    torch.testing.assert_close(x.sum(1), torch.full((50,), 0.8).double(), rtol=0, atol=1e-6)
    assert x.std(0).min() > 0.1
    one = normal(Cosine()).posterior(torch.tensor([0.8]), A, 0.0)
    torch.testing.assert_close(one.mean.sum().item(), 0.8, check_dtype=False)
    with pytest.raises(ValueError, match="std > 0"):
        d.posterior(torch.tensor([0.8, 0.9]), A.expand(2, 2), 0.0)


def integrated(d, x, t, s, steps):
    """The classical Runge-Kutta method in time, for dx/dt = alpha' x_hat + sigma' eps_hat."""
    for u, v in zip(*(torch.linspace(t, s, steps + 1, dtype=f64)[i:] for i in (0, 1))):
        h, f = v - u, lambda x, u: velocity(d, x, u)
        a = f(x, u)
        b = f(x + h / 2 * a, u + h / 2)
        c = f(x + h / 2 * b, u + h / 2)
        x = x + h / 6 * (a + 2 * b + 2 * c + f(x + h * c, v))
    return x


@pytest.mark.parametrize("make", [two_bumps, normal], ids=["mixture", "normal"])
@pytest.mark.parametrize("schedule", [Cosine(), VE(3.0)], ids=repr)
def test_the_exact_flow_is_what_the_ode_does(make, schedule):
    d = make(schedule)
    x = torch.randn(5, 1 if make is two_bumps else 2, dtype=f64)
    torch.testing.assert_close(integrated(d, x, 0.9, 0.15, 100), d.flow(x, 0.9, 0.15), rtol=0, atol=1e-5)
    torch.testing.assert_close(integrated(d, x, 0.5, 0.8, 20), d.flow(x, 0.5, 0.8), rtol=0, atol=1e-5)


def test_the_flow_holds_in_the_far_tails():
    """There and back over a hundred deviations, in order; one component alone is affine at any distance."""
    d, x = two_bumps(Rectified()), torch.linspace(-30, 30, 61, dtype=f64)[:, None]
    noise = d.flow(x, 0.0, 1.0)
    assert (noise.diff(dim=0) > 0).all() and noise.isfinite().all()
    torch.testing.assert_close(d.flow(noise, 1.0, 0.0), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(d.flow(d.flow(x, 0.0, 0.4), 0.4, 0.0), x, rtol=0, atol=1e-9)
    one, far = Mixture(VE(), torch.ones(1), torch.tensor([[0.3]]), torch.tensor([0.5])), torch.tensor([[9e3], [-9e3]])
    m, std = one.means, math.hypot(0.5, 80)
    torch.testing.assert_close(one.flow(far, 1.0, 0.0), m + (far.double() - m) / std * 0.5, rtol=1e-10, atol=0)


def test_quantiles_invert_the_distribution_at_times_of_their_own():
    d, p, t = two_bumps(Cosine()), levels(5), torch.linspace(0, 1, 5, dtype=f64)
    x = d.quantile(p, t)
    torch.testing.assert_close(d.cdf(x, t), p, rtol=0, atol=1e-12)
    for i in range(5):
        torch.testing.assert_close(d.quantile(p[i : i + 1], t[i]), x[i : i + 1])
    with pytest.raises(ValueError, match="one dimension"):
        correlated(Cosine()).flow(torch.zeros(1, 2), 1.0, 0.0)


def test_points_are_a_mixture_without_width_whatever_the_chunk_and_as_pictures():
    x, x_t, t = torch.randn(30, 1, 2, 3), torch.randn(4, 1, 2, 3), torch.tensor([0.1, 0.3, 0.7, 1.0], dtype=f64)
    mixture = Mixture(Cosine(), torch.full((30,), 1 / 30), x.flatten(1), torch.zeros(30))
    for chunk in (7, 1000):
        d = Empirical(Cosine(), x, chunk)
        torch.testing.assert_close(d(x_t.double(), t).x_hat.flatten(1), mixture(x_t.flatten(1).double(), t).x_hat)
        torch.testing.assert_close(d.log_prob(x_t.double(), t), mixture.log_prob(x_t.flatten(1).double(), t))
    weights = torch.rand(4, 30)
    given = d.given(weights=weights)(x_t.double(), t).x_hat.flatten(1)
    torch.testing.assert_close(given, mixture.given(weights=weights)(x_t.flatten(1).double(), t).x_hat)


@pytest.mark.parametrize("t", [0.0, 1e-12, 1e-4])
def test_with_little_noise_the_guess_is_the_nearest_point(t):
    d, near = points(Rectified()), torch.tensor([[-0.9, 0.3], [1.0, -0.7]])
    for dtype in (torch.float32, f64):
        torch.testing.assert_close(d(near.to(dtype), t).x_hat, d.points[[0, 2]].to(dtype))
    with pytest.raises(ValueError, match="no density"):
        d.log_prob(near, 0.0)


def test_a_fit_predicts_new_data_of_a_known_mixture_almost_as_well_as_the_truth():
    """11 parameters of 3000 samples: an excess of 11 / 6000 nats is expected, three standard errors of it are 0.01."""
    d = correlated(Cosine())
    x, new = d.sample(Seeded.at(0, range(3000))), d.sample(Seeded.at(1, range(3000)))
    fitted = fit(Cosine(), x, count=3, steps=60, shrink=1.0)
    lost = d.log_prob(new, 0.0) - fitted.log_prob(new, 0.0)
    assert -0.01 < lost.mean() < 0.02
    assert fit(Cosine(), x, count=3, steps=2).means.equal(fit(Cosine(), x, count=3, steps=2).means)


def test_a_mixture_of_the_real_digits_predicts_those_held_out():
    """Far better than one Gaussian of the same floor does, and its mean and spread are those of the digits."""
    train, test = digits()
    mixture, one = digit_mixture(Cosine()), fit(Cosine(), train, count=1, steps=1, floor=0.01)
    held_out, seen, plain = (d.log_prob(x, 0.0).mean() for d, x in ((mixture, test), (mixture, train), (one, test)))
    assert held_out > plain + 12 and held_out > seen - 12
    mean, covariance = mixture.marginal(0.0)
    torch.testing.assert_close(mean, train.mean(0), rtol=0, atol=1e-6)
    assert (covariance - train.mT.cov()).abs().max() < 0.02
