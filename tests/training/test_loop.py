"""The loop: one update is one update, however the batch is cut, and a number that is none stops it."""

import weakref

import pytest
import torch
from torch import nn

from reverie.training import memory
from reverie.training.guard import Guard, NotFinite
from reverie.training.loop import Objective, train
from reverie.training.memory import OutOfMemory, shortage
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


POISON = pytest.mark.parametrize("poison", [float("nan"), float("inf")])


def poisoned(poison):
    bad = torch.ones(2, 3)
    bad[1, 2] = poison
    return bad


@POISON
def test_an_update_with_a_number_that_is_none_is_skipped_and_says_where_it_came_from(poison):
    good = torch.ones(2, 3)
    w, done = steps([good, poisoned(poison), good])
    truth, _ = steps([good, good])
    assert w.equal(truth)
    assert [bool(step.fault) for step in done] == [False, True, False]
    assert "after 2 samples" in done[1].fault and "'x'" in done[1].fault and "data check" in done[1].fault
    assert done[2].before == 4 and done[2].seen == 6  # the place in the data moves on


@POISON
def test_many_in_a_row_halve_the_rate_and_then_stop_with_the_weights_as_they_were(poison):
    done, guard = [], Guard(patience=5)
    loss = Square()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    start = loss.w.detach().clone()
    with pytest.raises(NotFinite, match=r"after 8 samples.*'x'.*checkpoint is untouched"):
        into(done, train([Objective(loss, optimizer)], [{"x": poisoned(poison)}] * 9, guard=guard), loss)
    assert loss.w.detach().equal(start)
    assert [rate for rate, _, _ in done] == [1, 1, 0.5, 0.25]


def test_good_updates_undo_the_back_off_and_frequent_faults_end_training_too():
    guard = Guard(patience=8, recovery=4, score=3.0)
    assert guard.factor == 0.25
    for _ in range(8):
        guard.passed()
    assert guard.score == 1 and guard.factor == 1
    with pytest.raises(NotFinite):
        fails(guard, 100, good=2)  # one in three: 1 - 2 / 4 is gained each time
    rare = Guard()
    fails(rare, 100, good=39)
    assert rare.score == 0


def into(sink, steps, loss):
    """Runs to the end, or to what is raised, with (rate, weights, fault) of every step in the sink."""
    for step in steps:
        sink.append((step.rate, loss.w.detach().clone(), step.fault))


def fails(guard, times, good):
    for _ in range(times):
        guard.failed("bad")
        for _ in range(good):
            guard.passed()


class Poisoned(Square):
    """The loss is fine, and its gradient is none, or both are, from a given call on."""

    def __init__(self, what, after=1):
        super().__init__()
        self.what, self.left = what, after

    def forward(self, x):
        self.left -= 1
        value = super().forward(x)
        if self.left >= 0:
            return value
        if self.what == "gradient":
            value.register_hook(lambda g: g * float("nan"))
        elif self.what == "loss":
            return value + float("nan")  # whose gradient alone would be finite
        elif self.what == "weights":
            self.w.data[1] = float("inf")
            return super().forward(x)
        return value


@pytest.mark.parametrize(
    ("what", "says"),
    [("gradient", "the gradient is not"), ("loss", "the loss is not"), ("weights", "weights are not.*: w.*--resume")],
)
def test_whatever_breaks_is_named_and_nothing_is_updated_with_it(what, says):
    loss = Poisoned(what)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    kept = []
    with pytest.raises(NotFinite, match=says):
        into(kept, train([Objective(loss, optimizer)], [{"x": torch.ones(2, 3)}] * 20), loss)
    assert len(kept) == (1 if what == "weights" else 8)
    assert all(w.equal(kept[0][1]) for _, w, _ in kept)


class Hungry(Square):
    """Has no memory for batches of more than two."""

    def forward(self, x):
        if len(x) > 2:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return super().forward(x)


def test_running_out_of_memory_leaves_no_gradient_and_other_errors_are_what_they_are():
    loss = Hungry()
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    with pytest.raises(OutOfMemory, match="batch of 3"):
        next(train([Objective(loss, optimizer)], [{"x": torch.ones(2, 3)}, {"x": torch.ones(3, 3)}], accumulate=2))
    assert loss.w.grad is None
    with pytest.raises(OutOfMemory, match="while a batch was prepared"):
        next(train([Objective(loss, optimizer)], (bytearray(2**62) for _ in range(2))))
    with pytest.raises(TypeError):
        next(train([Objective(loss, optimizer)], [{"x": torch.ones(2, 3), "y": 1}]))
    with pytest.raises(RuntimeError, match="size of tensor"):
        next(train([Objective(loss, optimizer)], [{"x": torch.ones(2, 4)}]))


class Held(torch.autograd.Function):
    """Its number again, by way of a graph that holds `what`."""

    @staticmethod
    def forward(ctx, x, what):
        ctx.what = what
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Full(torch.autograd.Function):
    """Its number again, for whose gradient no memory is left."""

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, gradient):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


class Large(Square):
    def forward(self, x):
        activations = Activations()
        self.seen = weakref.ref(activations)
        held = Held.apply(self.w, activations)
        return (held.sum() + Full.apply(held).sum()) * x.sum()


class Activations:
    """Something whose end can be seen."""


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_backward_pass_that_fails_holds_nothing(mode):
    """PyTorch keeps the steps that were left of it, and so all activations, until the next pass."""
    loss = Large()
    with pytest.raises(OutOfMemory), mode(), shortage("here"), torch.inference_mode(False), torch.enable_grad():
        loss(torch.ones(2, 3)).backward()
    assert loss.seen() is None
    loss = Large()
    with pytest.raises(RuntimeError):
        loss(torch.ones(2, 3)).backward()
    assert loss.seen() is not None, "PyTorch has mended it: memory.forget can go"
    memory.forget()
    assert loss.seen() is None


def test_the_rate_rises_stays_and_falls_to_nothing():
    rate = Trapezoid(1000, warmup=100, decay=0.5)
    assert rate(0) == pytest.approx(0.01) and rate(49) == 0.5 and rate(100) == rate(500) == 1
    assert rate(750) == 0.5 and rate(1000) == 0
    assert Trapezoid(10, warmup=0, decay=0.0)(9) == 1
