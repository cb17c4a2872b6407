"""The Fréchet distance against closed forms."""

import pytest
import torch
from scipy.linalg import sqrtm

from reverie.metrics import Population
from reverie.metrics.frechet import Frechet, Moments, gaussian_distance, root

D = 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def covariance(seed=0, rank=2 * D):
    A = normal(D, rank, seed=seed)
    return A @ A.T / rank


def rotation(seed=0):
    return torch.linalg.qr(normal(D, D, seed=seed)).Q


def distance(x, y, **options):
    return Frechet(**options).measure(Population(features=x), Population(features=y))["frechet"]


def test_diagonal_gaussians_are_as_far_as_their_standard_deviations():
    a, b, m = normal(D).abs(), normal(D, seed=1).abs(), normal(D, seed=2)
    exact = m.square().sum() + (a - b).square().sum()
    assert gaussian_distance(m, a.square().diag(), 0 * m, b.square().diag()) == pytest.approx(exact.item(), rel=1e-12)


def test_commuting_covariances_are_as_far_as_their_roots():
    Q, a, b = rotation(), normal(D).abs(), normal(D, seed=1).abs()
    S_1, S_2 = (Q @ s.square().diag() @ Q.T for s in (a, b))
    zero = torch.zeros(D, dtype=torch.float64)
    assert gaussian_distance(zero, S_1, zero, S_2) == pytest.approx((a - b).square().sum().item(), rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_random_covariances_give_the_value_of_the_general_matrix_root(seed):
    S_1, S_2, m = covariance(seed), covariance(seed + 10), normal(D, seed=seed)
    exact = m @ m + (S_1 + S_2 - 2 * torch.from_numpy(sqrtm((S_1 @ S_2).numpy()).real)).trace()
    assert gaussian_distance(m, S_1, 0 * m, S_2) == pytest.approx(exact.item(), rel=1e-8)


def test_the_distance_is_symmetric():
    S_1, S_2, m = covariance(0), covariance(1), normal(D)
    assert gaussian_distance(m, S_1, 0 * m, S_2) == pytest.approx(gaussian_distance(0 * m, S_2, m, S_1), rel=1e-10)


def test_covariances_without_full_rank_are_no_trouble():
    zero = torch.zeros(D, dtype=torch.float64)
    a, b = normal(D), normal(D, seed=1)
    exact = a @ a + b @ b - 2 * (a @ b).abs()  # of rank one: tr (S_1 S_2)^1/2 = |a . b|
    assert gaussian_distance(zero, a.outer(a), zero, b.outer(b)) == pytest.approx(exact.item(), rel=1e-7)
    assert gaussian_distance(zero, 0 * a.outer(a), zero, b.outer(b)) == pytest.approx((b @ b).item(), rel=1e-7)


def test_a_root_squares_to_its_matrix_and_drops_rounding():
    for S in (covariance(), covariance(rank=2), torch.zeros(D, D, dtype=torch.float64)):
        torch.testing.assert_close(root(S) @ root(S), S, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [3, 500])
def test_equal_sets_are_at_distance_zero(n):
    x = normal(n, D)
    assert distance(x, x.flip(0)) == pytest.approx(0, abs=1e-6)


def test_a_translation_adds_its_square():
    x, y, d = normal(300, D), 2 * normal(200, D, seed=1) + 1, torch.ones(D, dtype=torch.float64)
    across = 2 * (x.mean(0) - y.mean(0)) @ d
    assert distance(x + d, y) == pytest.approx(distance(x, y) + (d @ d + across).item(), rel=1e-10)
    assert distance(x + 3 * d, x) == pytest.approx(9 * D, rel=1e-10)


def test_turning_both_sets_changes_nothing_and_scaling_both_squares():
    x, y, Q = normal(300, D) + 1, 2 * normal(200, D, seed=1), rotation(3)
    assert distance(x @ Q, y @ Q) == pytest.approx(distance(x, y), rel=1e-9)
    assert distance(3 * x, 3 * y) == pytest.approx(9 * distance(x, y), rel=1e-9)


def test_moments_of_a_stream_are_those_of_the_whole_even_far_from_zero():
    x = normal(1000, D) + 1e6
    streamed = Moments.stream(x.split([1, 2, 400, 597]))
    assert streamed.count == 1000
    torch.testing.assert_close(streamed.mean, x.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(streamed.covariance, x.T.cov(), rtol=1e-8, atol=1e-8)


def test_groups_change_the_error_and_not_the_distance():
    x, y = normal(203, D), normal(100, D, seed=1) + 1
    assert distance(x, y, groups=1) == pytest.approx(distance(x, y, groups=7), rel=1e-10)
    assert "frechet_error" not in Frechet(groups=1).measure(Population(features=x), Population(features=y))


def test_the_standard_error_is_the_spread_over_repetitions():
    y = normal(2000, D, seed=99)
    runs = [
        Frechet().measure(Population(features=normal(400, D, seed=s) + 0.5), Population(features=y)) for s in range(100)
    ]
    spread = torch.tensor([run["frechet"] for run in runs]).std().item()
    told = torch.tensor([run["frechet_error"] for run in runs]).mean().item()
    assert told == pytest.approx(spread, rel=0.25)


def test_the_floor_of_equal_distributions_falls_with_the_count():
    floors = [distance(normal(n, D), normal(n, D, seed=1)) for n in (50, 500, 5000)]
    assert floors[0] > 5 * floors[1] > 25 * floors[2] > 0


def test_features_in_float32_are_measured_in_float64():
    x, y = normal(300, D).float() + 100, normal(300, D, seed=1).float() + 100
    assert distance(x, y) == pytest.approx(distance(x.double(), y.double()), rel=1e-12)
