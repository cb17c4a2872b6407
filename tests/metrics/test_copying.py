"""Planted copies are found, and honest samples are not accused."""

import pytest
import torch

from reverie.errors import ReverieError
from reverie.metrics import Population
from reverie.metrics.copying import Copying, nearest


def pictures(n, seed, size=6):
    x = torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(seed)) * 40 + 128
    return x.clamp(0, 255).to(torch.uint8)


TRAIN, HELD, FRESH = pictures(300, 0), pictures(300, 1), pictures(300, 2)


def copying(samples, held=HELD, train=TRAIN, **options):
    return Copying(**options).measure(*(Population(raw=raw) for raw in (samples, held, train)))


def test_copies_of_the_training_set_give_exactly_zero():
    figures = copying(TRAIN)
    assert figures["copying"] == figures["original"] == figures["copying_error"] == 0


def test_fresh_samples_give_one():
    figures = copying(FRESH)
    assert figures["copying"] == pytest.approx(1, abs=0.02)
    assert figures["original"] > 0.97


def test_copies_of_held_out_samples_are_no_copies_of_training_data():
    assert copying(torch.cat([HELD[:100], FRESH]))["original"] > 0.97


def test_a_mix_with_half_copies_drops_well_below():
    figures = copying(torch.cat([TRAIN[:150], FRESH[:149]]))
    assert figures["copying"] < 0.5 and figures["original"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("copies", [10, 50, 200])
def test_the_share_of_copies_is_measured_however_large_the_training_set(copies):
    train = pictures(3100, 5)
    figures = copying(torch.cat([train[:copies], FRESH[copies:]]), train=train)
    assert figures["original"] == pytest.approx(1 - copies / 300, abs=0.03)


def test_copies_with_noise_are_found_too():
    noise = torch.randint(-3, 4, TRAIN.shape, generator=torch.Generator().manual_seed(3))
    figures = copying((TRAIN.long() + noise).clamp(0, 255).to(torch.uint8))
    assert figures["copying"] < 0.2 and figures["original"] == 0


def test_a_larger_training_set_does_not_make_samples_look_copied():
    """The nearest of 3000 is nearer than the nearest of 300; with equal numbers the ratio stays at 1."""
    figures = copying(FRESH, train=pictures(3100, 5))
    assert figures["copying"] == pytest.approx(1, abs=0.02)
    assert figures["original"] > 0.97


def test_a_larger_held_out_set_does_not_hide_copies():
    figures = copying(TRAIN[:100], train=TRAIN[:100])
    assert figures["copying"] == figures["original"] == 0


def test_the_error_of_the_ratio_is_its_spread_over_samples():
    runs = [copying(pictures(100, 100 + s)) for s in range(30)]
    spread = torch.tensor([run["copying"] for run in runs]).std().item()
    told = torch.tensor([run["copying_error"] for run in runs]).mean().item()
    assert told == pytest.approx(spread, rel=0.5)


def test_the_folds_are_a_function_of_the_seed():
    train = pictures(900, 5)
    assert copying(FRESH, train=train, seed=1) == copying(FRESH, train=train, seed=1)
    assert copying(FRESH, train=train, seed=1) != copying(FRESH, train=train, seed=2)


def test_nearest_is_exact_for_equal_points_and_by_chunks_and_folds():
    x = torch.randn(50, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1000
    assert nearest(x, x, chunk=7).eq(0).all()
    y = x[:30] + 0.5
    exact = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(nearest(x, y)[:, 0], exact.amin(1), rtol=1e-9, atol=0)
    folds = torch.arange(30).split(12)
    by_fold = torch.stack([exact[:, fold].amin(1) for fold in folds], 1)
    torch.testing.assert_close(nearest(x, y, folds, chunk=9), by_fold, rtol=1e-9, atol=0)
    others = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    torch.testing.assert_close(nearest(x, x, itself=True, chunk=9)[:, 0], others.amin(1), rtol=1e-9, atol=0)


def test_features_may_stand_for_pixels():
    sides = [Population(features=raw.flatten(1).float()) for raw in (TRAIN, HELD, TRAIN)]
    assert Copying(space="features").measure(*sides)["copying"] == 0


def test_there_is_no_answer_without_training_data():
    with pytest.raises(ReverieError, match="training data"):
        Copying().measure(Population(raw=FRESH), Population(raw=HELD))
