"""What every method of guidance promises: where it changes nothing, its types, its ends, its gradient."""

from copy import copy

import pytest
import torch

from reverie.core.schedules import VE, Cosine, LinearVP, Rectified
from reverie.guidance.base import Mixed

from .methods import METHODS, built, every, parts

T = torch.tensor([0.2, 0.5, 0.8, 0.97], dtype=torch.float64)
each_method = pytest.mark.parametrize("cls", METHODS.values(), ids=METHODS)
each = pytest.mark.parametrize("i", range(len(every())), ids=[type(g).__name__ for g in every()])


@each_method
def test_the_neutral_value_gives_the_conditional_denoiser_to_the_bit(cls):
    assert cls.space in ("x", "noise", "velocity")
    if cls.neutral is None:
        return
    x_t = torch.randn(4, 2)
    guided, own = built(cls, **cls.neutral)
    for t in (T, T[1], torch.tensor(1.0, dtype=torch.float64)):
        found, wanted = guided(x_t, t), own(x_t, t)
        assert found.x_hat.equal(wanted.x_hat) and found.eps_hat is None and wanted.eps_hat is None
    other, own = built(cls)
    assert not other(x_t, T).x_hat.equal(own(x_t, T).x_hat), "its defaults should change something"


@each
@pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE(), LinearVP()], ids=repr)
def test_the_ends_are_finite_and_doubles_stay_doubles(i, schedule):
    x_t = torch.randn(4, 2, dtype=torch.float64) * schedule(1.0)[1]
    for t in (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64), T):
        wide, narrow = (every(schedule)[i](x_t.to(dtype), t) for dtype in (torch.float64, torch.float32))
        assert wide.x_hat.dtype == torch.float64 and narrow.x_hat.dtype == torch.float32
        for one, other in zip(wide, narrow):
            if one is not None:
                assert one.isfinite().all() and other.isfinite().all()
        torch.testing.assert_close(narrow.x_hat.double(), wide.x_hat, rtol=1e-3, atol=2e-3)


@each
def test_its_gradient_is_right_so_that_measurements_can_be_put_around_it(i):
    guided, t = every()[i], T[1:3]
    x_t = torch.tensor([[0.3, -0.2], [0.5, 0.9]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: guided.begin()(x, t).x_hat, x_t, atol=1e-6)


@each
def test_memory_begins_afresh_and_is_never_changed_in_place(i):
    guided, x_t = every()[i], torch.randn(4, 2)
    first = guided(x_t, T).x_hat
    before = copy(guided.__dict__)
    kept = {name: value.clone() for name, value in before.items() if isinstance(value, torch.Tensor)}
    again = guided(x_t, T - 0.1)
    assert guided.begin()(x_t, T).x_hat.equal(first)
    for name, value in kept.items():
        assert before[name].equal(value), f"{name} was changed in place"
    assert again.x_hat.isfinite().all()


@each
def test_a_noise_that_is_not_the_guess_s_own_goes_along(i):
    """Where no part knows a noise apart, what is known apart is only that of methods which say so."""
    guided = every()[i]
    estimate = guided(torch.randn(4, 2), T)
    apart = type(guided).__name__ in ("CFGpp", "StaticThreshold", "DynamicThreshold")
    assert (estimate.eps_hat is not None) == apart


def test_parts_are_the_conditional_one_first():
    for guided in every():
        if isinstance(guided, Mixed) and type(guided).__name__ not in ("PAG", "SLG"):
            names = [type(part) for part in guided.parts]
            assert names[0] in (type(parts()["strong"]), type(parts()["weak"]))
