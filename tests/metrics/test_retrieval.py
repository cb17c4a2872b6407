"""R-precision: against what can be counted, and of the weights that ship on pictures that they never saw."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reverie.data.get import fetched
from reverie.errors import ReverieError
from reverie.features.matcher import Matcher
from reverie.metrics import retrieval
from reverie.metrics.base import Population
from reverie.metrics.evaluate import evaluate
from reverie.metrics.retrieval import Retrieval, ranks


def test_ranks_are_those_of_a_count_and_ties_go_against():
    free = torch.Generator().manual_seed(0)
    nearness, own = torch.randn(50, 30, generator=free), torch.randint(30, (50,), generator=free)
    whole = ranks(nearness, own, 30, seed=1)
    order = np.argsort(-nearness.numpy(), axis=1)
    assert whole.tolist() == [int(np.flatnonzero(row == mine)[0]) for row, mine in zip(order, own.tolist())]
    assert (ranks(torch.zeros(50, 30), own, 30, seed=1) == 29).all()
    few = ranks(nearness, own, 10, seed=1)
    assert (few <= whole).all() and (few < 10).all() and torch.equal(few, ranks(nearness, own, 10, seed=1))


def test_chance_is_what_nothing_known_gives():
    """5 standard errors of 4000 draws at 1 / 20, of which captions share the others drawn."""
    free = torch.Generator().manual_seed(0)
    nearness, own = torch.randn(4000, 60, generator=free), torch.randint(60, (4000,), generator=free)
    hits = (ranks(nearness, own, 20, seed=0) < 1).double().mean().item()
    assert abs(hits - 0.05) < 5 * (0.05 * 0.95 / 4000) ** 0.5


class Planted:
    """Pictures whose first numbers are the index of what they show; texts are indices in the planted vectors."""

    def pictures(self, raw):
        return F.one_hot(raw[:, 0, 0, 0].long(), 40).float()

    def texts(self, vectors):
        return vectors


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr(retrieval, "Matcher", Planted)
    monkeypatch.setattr(type(retrieval.READER), "place", lambda self, run: None)
    monkeypatch.setattr(
        retrieval, "read", lambda texts, folder: F.one_hot(torch.tensor([int(t) for t in texts]), 40).float()
    )


def pictures(shown):
    return torch.tensor(shown, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()


def test_samples_that_show_what_was_asked_are_told_from_those_that_do_not(planted):
    names = tuple(f"{i:02d}" for i in range(40))
    real = Population(raw=pictures(list(range(40))), prompts=names)
    half = Population(raw=pictures([i if i % 2 else (i + 7) % 40 for i in range(40)]), prompts=names)
    found = evaluate(half, real, metrics=[Retrieval(among=20)]).figures
    assert found["r_precision_of_real_1"].value == 1 and found["r_precision_1"].value == 0.5
    assert found["r_precision_1"].error == pytest.approx((0.25 / 40) ** 0.5, rel=0.05)


def test_what_cannot_be_retrieved_is_refused(planted):
    names = tuple(f"{i:02d}" for i in range(40))
    real = Population(raw=pictures(list(range(40))), prompts=names)
    with pytest.raises(ReverieError, match="there are 40"):
        evaluate(real, real, metrics=[Retrieval(among=100)])
    with pytest.raises(ReverieError, match="the prompt of every sample"):
        evaluate(Population(raw=real.raw), real, metrics=[Retrieval(among=20)])


@pytest.mark.skipif(
    not all(map(fetched, ("emoji_google", "emoji_names", "minilm"))), reason="reverie data get emoji, minilm"
)
def test_the_matcher_that_ships_knows_emoji_of_a_style_that_it_never_saw():
    from reverie.data.builtin import emoji

    test = emoji.pictures("google", 32, tagged=False).test
    some = torch.arange(0, len(test), 2)
    real = Population(raw=test.raw[some], prompts=tuple(test.captions[i] for i in some.tolist()))
    found = evaluate(real, real, metrics=[Retrieval()]).figures
    assert found["r_precision_1"].value == found["r_precision_of_real_1"].value > 0.25
    assert found["r_precision_5"].value > 0.5
    upside_down = Population(raw=real.raw.flip(0), prompts=real.prompts)
    assert evaluate(upside_down, real, metrics=[Retrieval()]).figures["r_precision_1"].value < 0.08


def test_weights_that_are_not_there_are_said(tmp_path):
    with pytest.raises(ReverieError, match="recipe `matcher`"):
        Matcher(tmp_path / "none.safetensors")


def test_the_order_of_pictures_changes_nothing():
    free = torch.Generator().manual_seed(0)
    nearness, own = torch.randn(50, 30, generator=free), torch.randint(30, (50,), generator=free)
    order = torch.randperm(50, generator=free)
    assert torch.equal(ranks(nearness[order], own[order], 10, seed=1), ranks(nearness, own, 10, seed=1)[order])
