"""Each method of guidance against its own formulas."""

from math import inf

import pytest
import torch
from truth import two_classes

from reverie.core import grids
from reverie.core.denoisers import Estimate
from reverie.core.noise import Seeded
from reverie.core.schedules import VE, Cosine, LinearVP, Rectified
from reverie.guidance.apg import APG
from reverie.guidance.base import asked
from reverie.guidance.cfg_plus_plus import CFGpp
from reverie.guidance.cfg_zero import CFGZero
from reverie.guidance.composition import Composed
from reverie.guidance.dynamic_threshold import DynamicThreshold
from reverie.guidance.extrapolation import Extrapolated
from reverie.guidance.interval import Limited
from reverie.guidance.rescale import Rescaled
from reverie.guidance.static_threshold import StaticThreshold
from reverie.samplers.ddim import DDIM

from .methods import STRONG, Asked, Clipped, D, Fixed

T = torch.tensor(0.5, dtype=torch.float64)
ROWS = torch.tensor([0.2, 0.4, 0.5, 0.6, 0.9], dtype=torch.float64)
SCHEDULES = pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE(20.0), LinearVP()], ids=repr)
X = torch.randn(5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def pair(schedule=None):
    d = two_classes(schedule or Cosine())
    return d.given(weights=torch.tensor([0.0, 1.0])), d


# interval


def test_outside_its_interval_the_guess_is_the_conditional_one_and_nobody_else_is_asked():
    low, high = Cosine().log_snr(0.55), Cosine().log_snr(0.3)
    guided, around = Extrapolated(STRONG, D, 3.0), Limited(Extrapolated(STRONG, D, 3.0), low, high)
    inside = torch.tensor([0, 1, 1, 0, 0], dtype=torch.bool)
    found = around(X, ROWS).x_hat
    assert found[~inside].equal(STRONG(X, ROWS).x_hat[~inside]) and found[inside].equal(guided(X, ROWS).x_hat[inside])
    assert Limited(Extrapolated(STRONG, None, 3.0), low, high)(X, T * 0).x_hat.equal(STRONG(X, T * 0).x_hat)
    own = Extrapolated(STRONG, D, 3.0, (low, high))(X, ROWS).x_hat
    assert own.equal(found), "the interval of extrapolation itself is the same"


def test_a_noise_known_apart_is_chosen_row_by_row_too():
    guided = Limited(CFGpp(STRONG, D), Cosine().log_snr(0.55), Cosine().log_snr(0.3))
    found, inside = guided(X, ROWS), torch.tensor([0, 1, 1, 0, 0], dtype=torch.bool)
    strong, weak = (d(X, ROWS).eps(X, *Cosine()(ROWS)) for d in (STRONG, D))
    torch.testing.assert_close(found.eps_hat, torch.where(inside[:, None], weak, strong))


# rescale


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_rescaling_mixes_the_two_deviations(share):
    guided = Extrapolated(STRONG, D, 4.0)
    std, wanted, found = (d(X, T).x_hat.std(1, correction=0) for d in (guided, STRONG, Rescaled(guided, share)))
    torch.testing.assert_close(found, share * wanted + (1 - share) * std)
    same = Rescaled(guided, share)(X, T).x_hat / guided(X, T).x_hat
    torch.testing.assert_close(same[:, 0], same[:, 1])  # a factor for each sample, and no shift


def test_rescaling_a_guess_without_contrast_leaves_it_alone():
    flat = Extrapolated(Fixed(torch.tensor([0.5, 0.5])), Fixed(torch.tensor([0.2, 0.2])), 2.0)
    torch.testing.assert_close(Rescaled(flat, 1.0)(X, T).x_hat, flat(X, T).x_hat)


# thresholds


def test_a_static_threshold_clamps_the_guess_and_keeps_the_noise():
    found, free = StaticThreshold(D, (-0.5, 0.3))(X, ROWS), D(X, ROWS)
    assert found.x_hat.equal(free.x_hat.clamp(-0.5, 0.3)) and not found.x_hat.equal(free.x_hat)
    torch.testing.assert_close(found.eps_hat, free.eps(X, *Cosine()(ROWS)))
    end = DDIM()(StaticThreshold(D, (-0.5, 0.3)), X, grids.Uniform(8)(Cosine()), Seeded(range(5)))
    assert end.min() >= -0.5 and end.max() <= 0.3


@pytest.mark.parametrize("threshold", [StaticThreshold, DynamicThreshold])
def test_the_noise_of_a_threshold_can_be_what_its_guess_leaves(threshold):
    kept, left = threshold(D, (-0.5, 0.3))(X, ROWS), threshold(D, (-0.5, 0.3), implied=True)(X, ROWS)
    assert torch.equal(kept.x_hat, left.x_hat)
    alpha, sigma = Cosine()(ROWS)
    torch.testing.assert_close(alpha[:, None] * left.x_hat + sigma[:, None] * left.eps(X, alpha, sigma), X)
    assert (left.eps(X, alpha, sigma) - kept.eps(X, alpha, sigma)).abs().max() > 0.1


def test_a_dynamic_threshold_grows_no_further_than_it_may():
    x_hat = 3 * torch.ones(1, 2, 2, dtype=torch.float64)
    found = [
        DynamicThreshold(Fixed(x_hat), (-1.0, 1.0), most=most)(torch.zeros_like(x_hat), T).x_hat for most in (9, 2)
    ]
    assert found[0].equal(x_hat / 3) and found[1].equal(x_hat / 3)
    mixed = torch.tensor([[[3.0, 0.5]]], dtype=torch.float64)
    grown, held = (DynamicThreshold(Fixed(mixed), (-1.0, 1.0), 1.0, most)(torch.zeros_like(mixed), T).x_hat
                   for most in (9.0, 2.0))  # fmt: skip
    torch.testing.assert_close(grown, mixed / 3)
    torch.testing.assert_close(held, torch.tensor([[[1.0, 0.25]]], dtype=torch.float64))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0])
def test_a_dynamic_threshold_is_the_paper_s_at_every_quantile(share):
    generator = torch.Generator().manual_seed(0)
    x_hat = 2 * torch.randn(6, 3, 4, generator=generator, dtype=torch.float64)
    found = DynamicThreshold(Fixed(x_hat), (-1.0, 1.0), share)(torch.zeros_like(x_hat), T).x_hat
    for one, row in zip(found, x_hat):
        s = max(torch.quantile(row.abs(), share).item(), 1.0)
        torch.testing.assert_close(one, row.clamp(-s, s) / s)
    moved = DynamicThreshold(Fixed(3 * x_hat + 5), (2.0, 8.0), share)(torch.zeros_like(x_hat), T).x_hat
    torch.testing.assert_close(moved, 3 * found + 5)  # the middle and the width of the range are all that it knows


# CFG++


@SCHEDULES
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_a_ddim_step_of_cfg_plus_plus_is_the_paper_s_and_that_of_guidance_at_a_scale_of_the_step(schedule, scale):
    strong, weak = pair(schedule)
    t, s = torch.tensor(0.6, dtype=torch.float64), torch.tensor(0.45, dtype=torch.float64)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    x_s = DDIM().step(CFGpp(strong, weak, scale), X, t, s, None, None)[0]
    x_hat = weak(X, t).x_hat + scale * (strong(X, t).x_hat - weak(X, t).x_hat)
    torch.testing.assert_close(x_s, alpha_s * x_hat + sigma_s * weak(X, t).eps(X, alpha_t, sigma_t))
    of_step = scale * alpha_s * sigma_t / (alpha_s * sigma_t - alpha_t * sigma_s)
    usual = DDIM().step(Extrapolated(strong, weak, of_step.item()), X, t, s, None, None)[0]
    torch.testing.assert_close(x_s, usual)


# APG


def test_apg_without_memory_projection_and_bound_is_classifier_free_guidance():
    plain = APG(STRONG, D, 3.0, eta=1.0, momentum=0.0)
    torch.testing.assert_close(plain(X, ROWS).x_hat, Extrapolated(STRONG, D, 3.0)(X, ROWS).x_hat)


def test_apg_is_the_paper_s_algorithm_along_a_trajectory():
    scale, eta, momentum, r = 4.0, 0.3, -0.75, 0.5
    guided, running = APG(STRONG, D, scale, eta, momentum, limit=r / 2**0.5).begin(), 0.0
    for t in (0.9, 0.7, 0.4):
        t = torch.tensor(t, dtype=torch.float64)
        strong, weak = STRONG(X, t).x_hat, D(X, t).x_hat
        running = strong - weak + momentum * running
        found = guided(X, t).x_hat
        for i in range(len(X)):  # algorithm 1, one sample at a time; r bounds the norm, limit its mean square
            d = running[i] * min(1.0, r / running[i].norm().item())
            unit = strong[i] / strong[i].norm()
            along = (d @ unit) * unit
            torch.testing.assert_close(found[i], strong[i] + (scale - 1) * (d - along + eta * along))


def test_apg_moves_at_right_angles_to_the_guess_and_no_further_than_its_limit():
    found = APG(STRONG, D, 5.0, limit=0.1)(X, ROWS).x_hat - STRONG(X, ROWS).x_hat
    torch.testing.assert_close(
        (found * STRONG(X, ROWS).x_hat).sum(1), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0
    )
    assert (found.square().mean(1).sqrt() <= 4 * 0.1 + 1e-12).all()


def test_memory_of_a_row_rests_while_the_row_is_outside_the_interval():
    """Else company would matter: alone, a row outside is not asked about at all."""
    low, high = Cosine().log_snr(0.55), Cosine().log_snr(0.3)
    together, alone = (Limited(APG(STRONG, D, 3.0, momentum=0.9), low, high) for _ in range(2))
    x, outside, inside = X[:2], torch.tensor([0.9, 0.5]).double(), torch.tensor([0.5, 0.4]).double()
    for t in (outside, inside):
        found = together(x, t).x_hat
        torch.testing.assert_close(alone(x[:1], t[:1]).x_hat, found[:1])
    assert not found[:1].equal(Limited(APG(STRONG, D, 3.0, momentum=0.0), low, high)(x, outside).x_hat[:1])


# CFG-Zero*


@SCHEDULES
def test_cfg_zero_star_is_the_paper_s_in_velocities_of_a_straight_path(schedule):
    strong, weak = pair(schedule)
    alpha, sigma = (c.item() for c in schedule(T))

    def velocity(x_hat):
        return (X - alpha * x_hat) / sigma - x_hat

    v_c, v_u = (velocity(d(X, T).x_hat) for d in (strong, weak))
    s = (v_c * v_u).sum(1, keepdim=True) / v_u.square().sum(1, keepdim=True)
    torch.testing.assert_close(((v_c - s * v_u) * v_u).sum(1), torch.zeros(5).double(), atol=1e-9, rtol=0)
    found = velocity(CFGZero(strong, weak, 2.5)(X, T).x_hat)
    torch.testing.assert_close(found, s * v_u + 2.5 * (v_c - s * v_u))


def test_a_weak_velocity_that_is_a_multiple_of_the_strong_one_guides_nowhere():
    class Slow(Fixed):
        def forward(self, x_t, t):  # v' = 0.4 v, on the straight path
            v = (x_t - super().forward(x_t, t).x_hat) / t.item()
            return Estimate(x_t - t.item() * 0.4 * v)

    goal = torch.tensor([0.7, -0.3])
    strong = Fixed(goal, Rectified())
    guided = CFGZero(strong, Slow(goal, Rectified()), 4.0)
    torch.testing.assert_close(guided(X, T).x_hat, strong(X, T).x_hat)
    assert not torch.allclose(Extrapolated(strong, Slow(goal, Rectified()), 4.0)(X, T).x_hat, strong(X, T).x_hat)


def test_below_its_log_snr_the_velocity_is_zero_and_a_step_goes_nowhere():
    strong, weak = pair(Rectified())
    guided, t, s = CFGZero(strong, weak, zeroed=-3.0), torch.tensor(1.0).double(), torch.tensor(0.9).double()
    torch.testing.assert_close(DDIM().step(guided, X, t, s, None, None)[0], X)
    assert guided(X, T).x_hat.equal(CFGZero(strong, weak)(X, T).x_hat)


# several


def test_weights_are_one_for_each_condition_or_one_for_all():
    with pytest.raises(ValueError, match="2 other conditions have 3 weights"):
        Composed(STRONG, D, [D, D], (1.0, 2.0, 3.0))
    both = Composed(STRONG, D, [STRONG, STRONG], (0.5,))(X, T).x_hat
    torch.testing.assert_close(both, Extrapolated(STRONG, D, 2.0)(X, T).x_hat)


def test_one_network_is_asked_once_however_many_conditions_and_methods_there_are():
    network, x = Asked(), X[:3].float()
    strong, weak, other = (network.given(label=torch.full((3,), label)) for label in (1.0, 0.0, 2.0))
    guided = Limited(Rescaled(StaticThreshold(Composed(strong, weak, [other, strong, weak]), (-9.0, 9.0))), -9.0, 9.0)
    guided.begin()(x, T)
    guided(x, ROWS[:3])
    assert network.rows == [9, 9]
    found = asked(guided.parts, x, ROWS[:3])
    for part, estimate in zip(guided.parts, found):
        torch.testing.assert_close(estimate.x_hat, part(x, ROWS[:3]).x_hat)


def test_conditions_that_do_not_match_row_by_row_are_asked_one_by_one():
    network, x = Asked(), X[:3].float()
    strong, weak = network.given(label=torch.ones(3)), network.given(label=torch.zeros(1))
    torch.testing.assert_close(Extrapolated(strong, weak, 2.0)(x, T).x_hat, 2 * strong(x, T).x_hat - weak(x, T).x_hat)
    assert network.rows[:2] == [3, 3]
    nested = network.given(label=torch.ones(3)).given()
    assert [len(e.x_hat) for e in asked([nested, weak], x, T)] == [3, 3]


def test_a_noise_that_is_known_apart_moves_with_the_guess():
    """d eps_hat = -alpha / sigma d x_hat, so that alpha x_hat + sigma eps_hat is as far from x_t as it was."""
    alpha, sigma = Cosine()(T)
    strong = Clipped(STRONG)
    off = alpha * strong(X, T).x_hat + sigma * strong(X, T).eps_hat
    for guided in (
        APG(strong, D),
        CFGZero(strong, D),
        Composed(strong, D, [D]),
        Rescaled(Composed(strong, D, [D], scale=2.0)),
    ):
        found = guided(X, T)
        torch.testing.assert_close(alpha * found.x_hat + sigma * found.eps_hat, off)


def test_each_entry_may_have_its_own_noise():
    t = torch.stack([ROWS, ROWS.flip(0)], 1)
    per_entry = two_classes(Cosine())  # without axes its coordinates are independent given the class
    strong = per_entry.given(weights=torch.tensor([0.0, 1.0]))
    for guided in (APG(strong, per_entry), CFGZero(strong, per_entry), Limited(CFGpp(strong, per_entry), -1.0, 1.0),
                   Rescaled(Extrapolated(strong, per_entry, 2.0)), StaticThreshold(strong, (-0.5, inf))):  # fmt: skip
        found = guided(X, t).x_hat
        assert found.shape == X.shape and found.isfinite().all()
        alone = guided.begin()(X[2:3], t[2:3]).x_hat
        torch.testing.assert_close(alone, found[2:3])
