"""The order of samples has no state: every epoch is a permutation, and any part can be asked for alone."""

import numpy as np
import pytest
import torch

from reverie.data import which
from reverie.data.order import permutation


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_every_epoch_visits_every_sample_once(n):
    rows = which(3, range(5 * n), n).reshape(5, n)
    assert torch.equal(rows.sort(1).values, torch.arange(n).expand(5, n))


def test_epochs_and_seeds_differ():
    orders = [tuple(permutation(seed, epoch, 50)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25
    assert tuple(permutation(2**32, 0, 50)) not in orders and tuple(permutation(-1, 0, 50)) not in orders


def test_resuming_anywhere_gives_the_same_order():
    whole = which(0, range(250), 32)
    for start, stop in [(0, 0), (31, 33), (100, 250), (249, 250)]:
        assert torch.equal(which(0, range(start, stop), 32), whole[start:stop])
    assert torch.equal(which(0, range(3, 250, 4), 32), whole[3::4]), "a worker's share"


def test_the_order_is_fixed_for_ever():
    """Values of the raw Philox stream: they may change with no version of anything."""
    assert which(0, range(8), 8).tolist() == FIRST_EPOCH
    assert permutation(0, 0, 8).dtype == np.int64


FIRST_EPOCH = [0, 2, 1, 5, 4, 3, 6, 7]


def test_places_are_uniform():
    first = torch.tensor([permutation(seed, 0, 4)[0] for seed in range(4000)])
    assert (first.bincount() - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="no sample"):
        which(0, range(3), 0)
    with pytest.raises(ValueError, match="no sample"):
        which(0, range(-1, 3), 5)
