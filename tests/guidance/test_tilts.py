"""Guidance against the distributions that it is known to lead to."""

import pytest
import torch

from reverie.core import grids
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture, Normal
from reverie.core.schedules import VE, Cosine, LinearVP, Rectified
from reverie.guidance.classifier import Classified
from reverie.guidance.composition import Composed
from reverie.guidance.extrapolation import Extrapolated
from reverie.samplers.ddim import DDIM
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.samplers.heun import Heun

from .methods import D, Fixed

SCHEDULES = pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE(20.0), LinearVP()], ids=repr)
TIMES = torch.linspace(0.05, 1, 6, dtype=torch.float64)
COVARIANCE = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
MEANS = torch.tensor([[0.3, -0.2], [1.0, 0.4], [-0.5, 0.8]], dtype=torch.float64)


def points(schedule, n=7):
    generator = torch.Generator().manual_seed(3)
    return (schedule(1.0)[1] + 1) * torch.randn(n, 2, generator=generator, dtype=torch.float64)


def noisy(schedule):
    """The times at which sigma^2 is not so small that dividing by it leaves only rounding."""
    return [t for t in TIMES if schedule(t)[1] > 1e-4]


def score(denoiser, x_t, t):
    """(alpha x_hat - x_t) / sigma^2"""
    alpha, sigma = denoiser.schedule(t)
    return (alpha * denoiser(x_t, t).x_hat - x_t) / sigma**2


@SCHEDULES
@pytest.mark.parametrize("sampler", [DDIM(), DPMpp2M(), Heun()], ids=repr)
def test_guidance_between_gaussians_of_one_covariance_samples_the_tilted_one(schedule, sampler):
    """p(x | y)^s p(x)^(1 - s) of N(m_y, C) and N(m, C) is N(m + s (m_y - m), C), at every noise level: so is the flow."""
    weak, strong = (Normal(schedule, m, COVARIANCE) for m in MEANS[:2])
    tilted = Normal(schedule, MEANS[0] + 3 * (MEANS[1] - MEANS[0]), COVARIANCE)
    guided, grid, x_1 = Extrapolated(strong, weak, 3.0), grids.Uniform(12)(schedule), points(schedule)
    for t in TIMES:
        torch.testing.assert_close(guided(x_1, t).x_hat, tilted(x_1, t).x_hat)
    ends = [sampler(denoiser, x_1, grid, Seeded(range(len(x_1)))) for denoiser in (guided, tilted)]
    torch.testing.assert_close(*ends)


@SCHEDULES
def test_guidance_between_gaussians_of_two_widths_is_the_tilted_gaussian_at_each_level(schedule):
    """The precision of N(m_t, V_t)^(1 - s) N(m'_t, V'_t)^s is (1 - s) / V_t + s / V'_t, and so its score is known."""
    weak, strong = Normal(schedule, MEANS[0], 0.8 * COVARIANCE), Normal(schedule, MEANS[1], 0.3 * COVARIANCE)
    guided, s, x = Extrapolated(strong, weak, 1.7), 1.7, points(schedule)
    for t in noisy(schedule):
        (m, V), (m_y, V_y) = weak.marginal(t), strong.marginal(t)
        precision = (1 - s) * V.inverse() + s * V_y.inverse()
        mean = torch.linalg.solve(precision, (1 - s) * V.inverse() @ m + s * V_y.inverse() @ m_y)
        torch.testing.assert_close(score(guided, x, t), -(x - mean) @ precision)


@SCHEDULES
def test_several_conditions_and_negative_ones_multiply(schedule):
    """p(x) p(y | x) p(y' | x)^w p(y'' | x)^-w' of Gaussians of one covariance, means m + sum of weighted differences."""
    first, second, third = (Normal(schedule, m, COVARIANCE) for m in MEANS)
    nothing = Normal(schedule, torch.zeros(2), COVARIANCE)
    mean = 1.5 * MEANS[0] + 0.7 * MEANS[1] - 0.4 * MEANS[2]
    guided, tilted = Composed(first, nothing, [second, third], (0.7, -0.4), 1.5), Normal(schedule, mean, COVARIANCE)
    x = points(schedule)
    for t in TIMES:
        torch.testing.assert_close(guided(x, t).x_hat, tilted(x, t).x_hat)


def squares(schedule):
    """Four bumps at the corners: the left and right ones, and the low and high ones, are classes that know nothing of each
    other.
    """
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    return Mixture(schedule, torch.ones(4), corners, torch.full((4,), 0.3))


@SCHEDULES
def test_two_independent_conditions_give_the_joint_one_exactly(schedule):
    d, x = squares(schedule), points(schedule)
    right, high, both = (d.given(weights=torch.tensor(w)) for w in ([0.0, 1, 0, 1], [0.0, 0, 1, 1], [0.0, 0, 0, 1]))
    guided = Composed(right, d, [high], (1.0,))
    for t in TIMES:
        torch.testing.assert_close(guided(x, t).x_hat, both(x, t).x_hat)


@SCHEDULES
def test_a_negative_condition_is_divided_by(schedule):
    """p(x) p(right | x) / p(high | x)^w: the scores of the marginals, from the densities themselves."""
    d, x = squares(schedule), points(schedule)
    weights = [torch.tensor(w) for w in ([1.0, 1, 1, 1], [0.0, 1, 0, 1], [0.0, 0, 1, 1])]
    right, high = (d.given(weights=w) for w in weights[1:])
    for t in noisy(schedule):
        of_all, of_right, of_high = (d.score(x, t, weights=w) for w in weights)
        found = score(Composed(right, d, [high], (-0.6,)), x, t)
        torch.testing.assert_close(found, of_right - 0.6 * (of_high - of_all))
        found = score(Extrapolated(right, high, 2.5), x, t)  # the negative condition in the weak one's place
        torch.testing.assert_close(found, of_high + 2.5 * (of_right - of_high))


@SCHEDULES
@pytest.mark.parametrize("weight", [1.0, 2.0, -0.5])
def test_the_exact_class_probabilities_turn_all_data_into_the_class(schedule, weight):
    """grad log p(x_t) + w grad log p(y | x_t) = (1 - w) grad log p(x_t) + w grad log p(x_t | y), and w = 1 is the class.

    Where alpha = 0 the gradient is taken at log-SNR -14, where alpha is e^-7: an error of some e^-7, for x up to 4 and w up to 2.
    """
    d = squares(schedule)
    classes = torch.tensor([0.0, 1, 0, 1])

    def log_prob(x, t):
        return (d.responsibilities(x, t) * classes).sum(-1).log()

    guided, strong, x = Classified(d, log_prob, weight), d.given(weights=classes), points(schedule)
    for t in TIMES:
        wanted = torch.lerp(d(x, t).x_hat, strong(x, t).x_hat, weight)
        near = schedule.log_snr(t) < -14
        torch.testing.assert_close(guided(x, t).x_hat, wanted, atol=1e-2 if near else 1e-9, rtol=1e-6)


def test_the_class_is_sampled_by_a_classifier_s_gradient():
    def log_prob(x, t):
        return D.responsibilities(x, t)[:, 1].log()

    noise, grid = Seeded(range(300)), grids.Uniform(30)(Cosine())
    x_1 = noise.draw(torch.empty(300, 2))
    found, wanted = (
        Heun()(d, x_1, grid, noise) for d in (Classified(D, log_prob), D.given(weights=torch.tensor([0.0, 1])))
    )
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)  # of a class of deviation 0.3, from the same noise


@SCHEDULES
def test_a_classifier_of_clean_data_that_is_log_linear_gives_the_tilted_gaussian_exactly(schedule):
    """N(m, C) exp(w a . x) is N(m + w C a, C), and grad log p(y | x_hat) times the posterior covariance says so."""
    a, w = torch.tensor([1.0, -0.5], dtype=torch.float64), 1.3
    guided = Classified(Normal(schedule, MEANS[0], COVARIANCE), lambda x, t: x @ a, w, clean=True)
    tilted, x = Normal(schedule, MEANS[0] + w * COVARIANCE @ a, COVARIANCE), points(schedule)
    for t in TIMES:
        if schedule(t)[0] > 0:  # with no signal x_hat does not depend on x_t, as the method says
            torch.testing.assert_close(guided(x, t).x_hat, tilted(x, t).x_hat)


def test_guidance_of_guesses_that_stand_still_is_extrapolation_to_the_end():
    a, b = torch.tensor([0.2, -0.4]), torch.tensor([0.5, 0.1])
    x = DDIM()(Extrapolated(Fixed(a), Fixed(b), 3.0), torch.randn(4, 2), grids.Uniform(5)(Cosine()), None)
    torch.testing.assert_close(x, (b + 3 * (a - b)).expand(4, 2))
