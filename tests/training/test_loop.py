"""The loop: one update is one update, however the batch is cut, and a number that is none stops it."""

import pytest
import torch
from torch import nn

from reverie.training.loop import NotFinite, Objective, train
from reverie.training.rates import Trapezoid

f64 = torch.float64


class Square(nn.Module):
    """Mean of (w x - 1)^2, with dropout where asked."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.w, self.dropout = nn.Parameter(torch.full((3,), 0.5)), nn.Dropout(dropout)

    def forward(self, x):
        return (self.dropout(self.w * x) - 1).square().mean()


def steps(batches, dropout=0.0, **options):
    loss = Square(dropout)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    done = list(train([Objective(loss, optimizer)], [{"x": x} for x in batches], clip=1e9, **options))
    return loss.w.detach(), done


def test_a_step_is_gradient_descent_and_counts_samples():
    x = torch.randn(4, 3)
    w, done = steps([x])
    truth = torch.full((3,), 0.5, requires_grad=True)
    loss = (truth * x - 1).square().mean()
    (gradient,) = torch.autograd.grad(loss, truth)
    torch.testing.assert_close(w, truth.detach() - 0.1 * gradient)
    assert (done[0].updates, done[0].before, done[0].seen) == (1, 0, 4)
    assert done[0].losses[0] == pytest.approx(loss.item())
    assert done[0].grad_norm == pytest.approx(gradient.norm().item())


def test_micro_batches_of_unequal_size_are_one_batch():
    x = torch.randn(7, 3)
    whole, _ = steps([x])
    parts, done = steps([x[:2], x[2:3], x[3:]], accumulate=3)
    torch.testing.assert_close(parts, whole)
    assert len(done) == 1 and done[0].seen == 7


def test_dropout_is_a_function_of_the_step_and_leaves_the_global_generator_alone():
    x = [torch.randn(4, 3) for _ in range(3)]
    before = torch.get_rng_state()
    first, _ = steps(x, dropout=0.5, seed=3)
    assert torch.get_rng_state().equal(before)
    torch.randn(99)
    again, _ = steps(x, dropout=0.5, seed=3)
    other, _ = steps(x, dropout=0.5, seed=4)
    assert first.equal(again) and not first.equal(other)


def test_gradients_are_clipped_and_rates_follow_the_schedule():
    loss = Square()
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    start = loss.w.detach().clone()
    for _ in train([Objective(loss, optimizer)], [{"x": 100 * torch.ones(2, 3)}], clip=0.5, rate=lambda seen: 0.1):
        pass
    assert (loss.w - start).norm().item() == pytest.approx(0.05, rel=1e-4)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_number_that_is_none_stops_training_before_the_update_and_says_where_it_came_from(poison):
    loss = Square()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    bad = torch.ones(2, 3)
    bad[1, 2] = poison
    loop = train([Objective(loss, optimizer)], [{"x": torch.ones(2, 3)}, {"x": bad}])
    next(loop)
    kept = loss.w.detach().clone()
    with pytest.raises(NotFinite, match=r"after 2 samples.*'x'.*data check"):
        next(loop)
    assert loss.w.detach().equal(kept)


def test_the_rate_rises_stays_and_falls_to_nothing():
    rate = Trapezoid(1000, warmup=100, decay=0.5)
    assert rate(0) == pytest.approx(0.01) and rate(49) == 0.5 and rate(100) == rate(500) == 1
    assert rate(750) == 0.5 and rate(1000) == 0
    assert Trapezoid(10, warmup=0, decay=0.0)(9) == 1
