"""Precision, recall, density and coverage of points whose neighbours can be counted by hand."""

import pytest
import torch

from reverie.metrics import Population
from reverie.metrics.neighbours import DensityCoverage, PrecisionRecall, counts, radii, squared


def line(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def normal(n, D, seed):
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def measure(metric, x, y):
    return metric.measure(Population(features=x), Population(features=y))


def test_radii_are_to_the_kth_other_point():
    x = line(0, 1, 3, 7)
    assert radii(x, 1).tolist() == [1, 1, 4, 16]
    assert radii(x, 2).tolist() == [9, 4, 9, 36]
    assert radii(x, 3, chunk=3).tolist() == [49, 36, 16, 49]


def test_a_duplicate_is_another_point():
    assert radii(line(0, 0, 5), 1).tolist() == [0, 0, 25]


def test_precision_and_recall_of_points_on_a_line():
    real, fake = line(0, 1, 3, 7), line(-1, 2, 12, 13)
    # Real balls for k = 1: [-1, 1], [0, 2], [1, 5], [3, 11]; they hold -1 and 2.
    # Those of the fakes: [-4, 2], [-1, 5], [11, 13], [12, 14]; they hold 0, 1 and 3.
    figures = measure(PrecisionRecall(k=1), fake, real)
    assert figures["precision"] == 0.5 and figures["recall"] == 0.75
    assert figures["precision_error"] == 0.25 and figures["recall_error"] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)


def test_density_and_coverage_of_points_on_a_line():
    real, fake = line(0, 1, 3, 7), line(-1, 2, 12, 13)
    # -1 lies in [-1, 1]; 2 lies in [0, 2] and [1, 5]; 12 and 13 in none. [3, 11] holds no fake point.
    figures = measure(DensityCoverage(k=1), fake, real)
    assert figures["density"] == 0.75 and figures["coverage"] == 0.75


def test_one_outlier_inflates_precision_and_not_density():
    """The example that density and coverage were made for: a real outlier's ball holds fakes that are all wrong."""
    real = torch.cat([normal(200, 2, 0), torch.full((1, 2), 30.0, dtype=torch.float64)])
    fake = normal(200, 2, 1) * 0.1 + 15
    assert measure(PrecisionRecall(k=5), fake, real)["precision"] > 0.9
    assert measure(DensityCoverage(k=5), fake, real)["density"] < 0.3


def test_copies_are_perfect_in_everything():
    x = normal(50, 3, 0)
    figures = measure(PrecisionRecall(), x, x) | measure(DensityCoverage(), x, x)
    assert figures["precision"] == figures["recall"] == figures["coverage"] == 1


def test_sets_far_apart_share_nothing():
    x = normal(50, 3, 0)
    figures = measure(PrecisionRecall(), x, x + 100) | measure(DensityCoverage(), x, x + 100)
    assert {figures[name] for name in ("precision", "recall", "density", "coverage")} == {0}


def test_half_of_the_modes_is_half_of_recall_and_coverage():
    real = torch.cat([normal(200, 2, 0), normal(200, 2, 1) + 50])
    fake = normal(400, 2, 2)
    assert measure(DensityCoverage(), fake, real)["coverage"] == pytest.approx(0.5, abs=0.03)
    assert measure(PrecisionRecall(), fake, real)["recall"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("N", "M"), [(100, 100), (60, 200), (300, 50)])
def test_perfect_samples_cover_what_is_expected_and_have_density_one(N, M):
    runs = [measure(DensityCoverage(k=3), normal(N, 2, 2 * s), normal(M, 2, 2 * s + 1)) for s in range(100)]
    covered = torch.tensor([run["coverage"] for run in runs])
    assert covered.mean().item() == pytest.approx(
        DensityCoverage(k=3).expected(N, M), abs=3 * covered.std().item() / 10
    )
    dense = torch.tensor([run["density"] for run in runs])
    assert dense.mean().item() == pytest.approx(M / (M - 1), abs=3 * dense.std().item() / 10)


def test_nothing_changes_when_both_sets_turn_and_move():
    x, y = normal(80, 4, 0), normal(90, 4, 1) + 0.5
    Q = torch.linalg.qr(normal(4, 4, 2)).Q
    for metric in (PrecisionRecall(), DensityCoverage()):
        assert measure(metric, x @ Q + 7, y @ Q + 7) == pytest.approx(measure(metric, x, y), abs=1e-12)


def test_chunks_change_nothing():
    x, y = normal(37, 3, 0), normal(23, 3, 1)
    for whole, parts in zip(counts(x, y, radii(y, 3)), counts(x, y, radii(y, 3, chunk=4), chunk=5), strict=True):
        assert whole.equal(parts)
    torch.testing.assert_close(squared(x, y), torch.cdist(x, y).square())
