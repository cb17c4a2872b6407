"""The family of SDEs: rates, scores, and the marginals that every member keeps."""

import math

import pytest
import torch
from truth import SCHEDULES, correlated, gaussian, two_bumps

from reverie.core import sdes
from reverie.core.noise import Seeded
from reverie.core.oracles import Normal
from reverie.core.schedules import VE, Cosine, Laplace, Rectified, Shifted, Sigmoid

f64 = torch.float64


@pytest.mark.parametrize("schedule", [*SCHEDULES, Shifted(Sigmoid()), Shifted(Laplace(), 0.3)], ids=repr)
def test_rates_are_the_slopes_of_the_schedule_and_the_forward_sde_has_its_moments(schedule):
    """alpha' = f alpha and (sigma^2)' = 2 f sigma^2 + g^2; away from the kinks of tables."""
    t, h = torch.tensor([0.0203, 0.1003, 0.3701, 0.5202, 0.8003, 0.9703], dtype=f64), 1e-7
    dalpha, dsigma = sdes.rates(schedule, t)
    torch.testing.assert_close(dalpha, (schedule.alpha(t + h) - schedule.alpha(t - h)) / (2 * h), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(dsigma, (schedule.sigma(t + h) - schedule.sigma(t - h)) / (2 * h), rtol=1e-5, atol=1e-7)
    (alpha, sigma), (f, g) = schedule(t), sdes.forward(schedule, t)
    torch.testing.assert_close(f * alpha, dalpha)
    torch.testing.assert_close(2 * f * sigma**2 + g**2, 2 * sigma * dsigma)


def test_what_is_infinite_at_the_ends_is_refused_and_the_rest_is_regular():
    x = torch.randn(3, 1)
    for schedule in (Cosine(), Rectified()):
        d = two_bumps(schedule)
        with pytest.raises(ValueError, match="smaller t"):
            sdes.forward(schedule, 1.0)
        with pytest.raises(ValueError, match="smaller t"):
            sdes.backward(d, x, torch.tensor(1.0))
        drift, diffusion = sdes.backward(d, x, torch.tensor(1.0), eta=0.0)
        torch.testing.assert_close(drift, sdes.velocity(d, x, torch.tensor(1.0)))
        assert diffusion == 0 and drift.isfinite().all()
        torch.testing.assert_close(sdes.score(d, x, torch.tensor(1.0)), -x, rtol=0, atol=1e-6)
        for of in (sdes.score, sdes.velocity, sdes.backward):
            with pytest.raises(ValueError, match="above 0"):
                of(d, x, torch.tensor(0.0))
    with pytest.raises(ValueError, match="no finite slope"):
        sdes.rates(Sigmoid(), 1.0)
    f, g = sdes.forward(VE(), torch.tensor([0.0, 1.0]))
    assert f.equal(torch.zeros(2).double()) and g[0] < 1e-30 and g[1].item() == pytest.approx(80 * math.sqrt(14))


@pytest.mark.parametrize("schedule", [Cosine(), VE(3.0)], ids=repr)
def test_the_score_of_a_guess_is_the_oracle_s(schedule):
    d, x, t = correlated(schedule), torch.randn(4, 2, dtype=f64), torch.tensor([0.4, 0.5, 0.7, 1.0], dtype=f64)
    torch.testing.assert_close(sdes.score(d, x, t), d.score(x, t))


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0, lambda t: 2 * t], ids=["0", "0.6", "1", "2t"])
@pytest.mark.parametrize("schedule", [Cosine(), VE(3.0)], ids=repr)
def test_every_member_of_the_family_keeps_the_marginals(schedule, eta):
    """Fokker-Planck in one dimension: dp/dt = -(drift p)' - (diffusion^2 p)'' / 2 as time runs backwards.

    Derivatives in x by autograd, in t by a central difference of step 1e-5.
    """
    d, t, h = two_bumps(schedule), torch.tensor(0.4, dtype=f64), 1e-5
    x = torch.linspace(-2, 2, 41, dtype=f64)[:, None].requires_grad_()
    drift, diffusion = sdes.backward(d, x, t, eta)
    p = d.log_prob(x, t).exp()
    (dp,) = torch.autograd.grad(p.sum(), x, create_graph=True)
    (ddp,) = torch.autograd.grad(dp.sum(), x, retain_graph=True)
    (flux,) = torch.autograd.grad((drift[:, 0] * p).sum(), x)
    moved = -flux - diffusion**2 / 2 * ddp  # dt < 0
    truth = (d.log_prob(x, t + h).exp() - d.log_prob(x, t - h).exp())[:, None] / (2 * h)
    torch.testing.assert_close(moved, truth, rtol=1e-5, atol=1e-5 * truth.abs().max().item())


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_small_steps_of_the_family_on_gaussian_data_reach_its_spread(eta):
    """Affine steps: mean and variance are propagated exactly, and 500 steps leave 1 part in 80."""
    d = Normal(Cosine(), torch.tensor([0.4]), torch.tensor([[0.25]]))
    times = torch.linspace(0.95, 0.02, 501, dtype=f64)
    (mean,), variance = d.marginal(times[0])[0], d.marginal(times[0])[1].item()
    for t, s in zip(times, times[1:]):
        drift, diffusion = sdes.backward(d, torch.tensor([[0.0], [1.0]], dtype=f64), t, eta)
        rate = (drift[1] - drift[0]).item()
        mean = mean + (s - t) * (drift[0, 0] + rate * mean)
        variance = (1 + (s - t).item() * rate) ** 2 * variance + (t - s).item() * diffusion.item() ** 2
    assert mean.item() == pytest.approx(d.marginal(times[-1])[0].item(), abs=0.012)
    assert variance**0.5 == pytest.approx(d.marginal(times[-1])[1].item() ** 0.5, abs=0.012)


def test_langevin_s_chain_settles_at_the_marginal_up_to_its_step():
    """On a Gaussian the chain is x' = (1 - a) x + b z, whose variance b^2 / (1 - (1 - a)^2) is read off by probing."""
    d, t = gaussian(Cosine(), 0.5, 1), torch.tensor(0.3, dtype=f64)
    variance = d.marginal(t)[1].item()
    for step in (0.02, 0.01):
        one, zero = torch.ones(1, 1, dtype=f64), torch.zeros(1, 1, dtype=f64)
        kept, drawn = (sdes.langevin(d, x, t, step, z).item() for x, z in ((one, zero), (zero, one)))
        assert drawn**2 / (1 - kept**2) == pytest.approx(variance, rel=step)
    d, noise = two_bumps(Cosine()), Seeded.at(0, range(2000))
    x = d.sample(noise, t)
    for _ in range(20):
        x = sdes.langevin(d, x, t, 0.05, noise.draw(x))
    p = d.cdf(x, t).sort(dim=0).values[:, 0]
    assert (p - torch.linspace(0, 1, 2000, dtype=f64)).abs().max() < 1.95 / 2000**0.5 + 0.01  # Kolmogorov at 0.001
