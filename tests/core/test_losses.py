"""A tiny network from its loss to samples: oracles have kind Jacobians, a learned network does not."""

import math

import pytest
import torch
from torch import nn
from truth import gaussian

from reverie.core import densities, grids, parameterizations, weights
from reverie.core.denoisers import Denoiser, Estimate, Preconditioned
from reverie.core.densities import Density, LogNormal, Stratified, Uniform
from reverie.core.likelihood import gaussian_kl, quantized_log_likelihood
from reverie.core.losses import DenoisingLoss, HybridLoss, Uncertainty, VariationalLoss
from reverie.core.noise import Seeded
from reverie.core.processes import Gaussian
from reverie.core.schedules import VE, Cosine, Rectified
from reverie.core.spaces import Space
from reverie.core.weights import Karras, MinSNR, Weight
from reverie.discover import variants
from reverie.samplers.dpmpp_2m import DPMpp2M


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x, c_noise):
        return self.layers(torch.cat([x, c_noise[:, None].sin(), c_noise[:, None].cos()], dim=1))


def test_a_trained_network_lands_on_the_mixture():
    free = Seeded([0])
    side = torch.where(free.uniform(torch.empty(1, 4096, 1)) < 0.7, 1.0, -1.0)[0]
    data = side * torch.tensor([1.0, 0.6]) + 0.2 * free.draw(torch.empty(1, 4096, 2))[0]
    denoiser, noise = Preconditioned(Net(), Cosine()), Seeded(range(128))
    loss = DenoisingLoss(denoiser)
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=4e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, total_iters=800)
    for step in range(800):
        loss(data.roll(-128 * step, 0)[:128], noise).backward()
        optimizer.step(), optimizer.zero_grad(), decay.step()

    x_1 = Cosine().start(Seeded(range(1000)).draw(torch.empty(1000, 2)))
    x = DPMpp2M()(denoiser, x_1, grids.Uniform(30)(Cosine()), Seeded([]))
    above = x[:, 0] > 0
    assert abs(above.double().mean() - 0.7) < 0.06
    for side, sign in ((above, 1), (~above, -1)):
        torch.testing.assert_close(x[side].mean(0), sign * torch.tensor([1.0, 0.6]), rtol=0, atol=0.06)
        torch.testing.assert_close(x[side].std(0), torch.tensor([0.2, 0.2]), rtol=0, atol=0.07)


def test_the_loss_is_a_function_of_its_noise_and_counts_what_is_real():
    d, x = gaussian(Cosine(), dim=3), torch.randn(2, 5, 3)
    mask = (torch.arange(5)[:, None] < torch.tensor([5, 2])[:, None, None]).float()
    loss = lambda x, space: DenoisingLoss(d)(x, Seeded([1, 2]), space)
    space = Space(mask)
    assert loss(x, space) == loss(x, space) != loss(x, Space())
    assert loss(x, space) == loss(x + 9 * (1 - mask), space)


def test_weights_are_what_they_say():
    alpha, sigma = Cosine()(torch.tensor([0.1, 0.5, 0.9]))
    error_in_eps = (alpha / sigma) ** 2
    torch.testing.assert_close(MinSNR(5.0)(alpha, sigma), error_in_eps.minimum(torch.tensor(5.0)))
    c_out = parameterizations.Karras(0.5)(alpha, sigma).c_out
    torch.testing.assert_close(Karras(0.5)(alpha, sigma), 1 / c_out**2)


ERRORS = {
    weights.Clean(): lambda a, s: 1 + 0 * a,
    weights.Simple(): lambda a, s: a / s,
    weights.Velocity(): lambda a, s: (a**2 + s**2) / s,
    weights.Flow(): lambda a, s: (a + s) / s,
}


@pytest.mark.parametrize("weight", ERRORS, ids=repr)
@pytest.mark.parametrize("schedule", [Cosine(), Rectified(), VE(3.0)], ids=repr)
def test_a_weight_is_the_squared_error_of_what_it_names(weight, schedule):
    """An error of x_hat by d, x_t held, is one of the target by (a, b) . d; read off the target's own definition."""
    target = {
        weights.Clean(): parameterizations.Clean(),
        weights.Simple(): parameterizations.Noise(),
        weights.Velocity(): parameterizations.Velocity(),
        weights.Flow(): parameterizations.Flow(),
    }[weight]
    alpha, sigma = schedule(torch.tensor([0.1, 0.5, 0.9]))
    a, b = target.target(alpha, sigma)
    torch.testing.assert_close(weight(alpha, sigma), (a - b * alpha / sigma) ** 2)


def test_bent_weights_have_the_limits_they_are_made_for():
    alpha, sigma = VE(100.0)(torch.tensor([1e-3, 0.2, 0.9]))
    snr = (alpha / sigma) ** 2
    torch.testing.assert_close(weights.SoftMinSNR(4.0)(alpha, sigma), snr * 4 / (snr + 4))
    torch.testing.assert_close(weights.P2(1.0, 1.0)(alpha, sigma), snr / (1 + snr))
    torch.testing.assert_close(weights.Sigmoid(2.0)(alpha, sigma), snr * (2.0 - snr.log()).sigmoid())
    for weight in variants(weights, Weight):
        assert weight(*Cosine()(torch.tensor(1.0, dtype=torch.float64))).isfinite()


def test_times_follow_their_density():
    u = torch.tensor([0.5, 0.841344746], dtype=torch.float64)
    log_ratio = -Cosine().log_snr(LogNormal(mean=-0.3, std=0.7)(Cosine(), u)) / 2
    torch.testing.assert_close(log_ratio, torch.tensor([-0.3, 0.4], dtype=torch.float64))
    t = densities.LogitNormal(0.2, 0.5)(Cosine(), u)
    torch.testing.assert_close(t.logit(), torch.tensor([0.2, 0.7], dtype=torch.float64))
    assert densities.Discrete(4)(Cosine(), torch.tensor([0.01, 0.26, 0.99])).tolist() == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("density", variants(densities, Density), ids=repr)
@pytest.mark.parametrize("schedule", [Cosine(), VE()], ids=repr)
def test_every_density_gives_times_with_noise_that_grow_with_the_quantile(density, schedule):
    t = density(schedule, torch.linspace(2**-24, 1 - 2**-24, 99, dtype=torch.float64))
    assert t.min() > 0 and t.max() <= 1 and (t.diff() >= 0).all()
    drawn = density.draw(schedule, Seeded.at(0, range(32)), 32)
    assert drawn.shape == (32,) and drawn.dtype == torch.float64


def test_stratified_times_fill_the_interval_in_any_window_and_do_not_know_the_batch():
    """Three-gap theorem: no gap in a window of n is longer than (1 + golden ratio) / n."""
    draw = lambda index: Stratified(Uniform(0.0)).draw(Cosine(), Seeded.at(0, index), len(index))
    for first, n in [(0, 16), (1000, 64), (123_456_789, 128)]:
        t = draw(range(first, first + n)).sort().values
        ends = torch.cat([t.new_zeros(1), t, t.new_ones(1)])
        assert ends.diff().max() <= 2.62 / n + 1e-9
    together, apart = draw(range(8)), torch.cat([draw(range(3)), draw(range(3, 8))])
    assert together.equal(apart)


def test_the_gaussian_divergence_is_torch_s():
    m, n, a, b = torch.randn(4, 9, dtype=torch.float64)
    truth = torch.distributions.kl_divergence(
        torch.distributions.Normal(m, a.exp()), torch.distributions.Normal(n, b.exp())
    )
    torch.testing.assert_close(gaussian_kl(m, a, n, b), truth)


@pytest.mark.parametrize("std", [1e-3, 0.05, 1.0])
def test_the_bins_of_a_quantized_gaussian_share_all_of_its_mass(std):
    x = torch.linspace(-1, 1, 256, dtype=torch.float64)
    for mean in (-1.3, 0.1, 0.99):
        mean, log_std = torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64).log()
        mass = quantized_log_likelihood(x, mean, log_std, 2 / 255).exp()
        assert mass.sum().item() == pytest.approx(1, abs=1e-9)
        wide = quantized_log_likelihood(x.float(), mean.float(), log_std.float(), 2 / 255)
        assert wide.isfinite().all()


class Right(Denoiser):
    """Knows the one sample there is."""

    def __init__(self, x, fraction):
        super().__init__()
        self.x, self.fraction, self.schedule = x, fraction, Cosine()

    def forward(self, x_t, t):
        return Estimate(self.x.expand_as(x_t), fraction=torch.full_like(x_t, self.fraction))


def test_the_variational_bound_is_the_signal_gained_times_the_error_of_the_guess():
    """Each step costs (snr_s - snr_t) |x - x_hat|^2 / 2 nats (Kingma et al. 2021, equation 13), and with the step to the
    data all of them exceed the entropy of the data, which no code can beat; 4000 samples know it to 0.05 bits.
    """
    d, std, n, count = gaussian(Cosine(), 0.5, dim=1), 0.5, 4000, 32
    x, eps = Seeded([1, 2]).draw(torch.empty(2, n, 1, dtype=torch.float64)) * torch.tensor([[[std]], [[1.0]]])
    loss, total = VariationalLoss(d, count=count, bin=None), 0.0
    for i in range(count):
        index = torch.full((n,), float(i), dtype=torch.float64)
        x_t = Gaussian(Cosine()).draw(x, (index + 1) / count, eps)
        x_hat = d(x_t, (index + 1) / count).x_hat
        bits = loss.bound(x, x_t, index, x_hat, None) / count
        if i:
            gained = (Cosine().log_snr(i / count).exp() - Cosine().log_snr((i + 1) / count).exp()).item()
            torch.testing.assert_close(bits, gained * (x - x_hat) ** 2 / 2 / math.log(2), rtol=1e-6, atol=1e-9)
        total += bits.mean().item()
    entropy = math.log2(std * math.sqrt(2 * math.pi * math.e))
    assert entropy < total < entropy + 2.5


def test_a_guess_that_is_right_costs_nothing_where_its_variance_is():
    """All but the step to the data: zero at the posterior's own variance, more at another."""
    x, i = torch.randn(5, 3, dtype=torch.float64) / 3, torch.tensor([1.0, 5, 50, 90, 99])
    bound = VariationalLoss(Right(x, 0.0), count=100)
    x_t = Gaussian(Cosine()).draw(x, (i + 1) / 100, torch.randn(5, 3))
    for fraction, low, high in ((0.0, -1e-9, 1e-9), (1.0, 1e-6, 100.0)):
        nats = bound.bound(x, x_t, i, x, torch.full_like(x, fraction))
        assert (low <= nats[1:4]).all() and (nats[1:4] <= high).all()


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.v = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x, c_noise):
        return torch.cat([self.mean(x), self.v(x)], dim=1)


def test_the_hybrid_loss_trains_the_guess_by_the_simple_part_alone_and_the_variance_by_the_bound():
    net, x = TwoHeads(), torch.randn(6, 2)
    d = Preconditioned(net, Cosine(), parameterizations.Velocity(), learns_variance=True)
    grads = {}
    for scale in (0.0, 0.5):
        net.zero_grad()
        HybridLoss(d, weights.Velocity(), scale=scale)(x, Seeded(range(6))).backward()
        grads[scale] = [net.mean.weight.grad.clone(), net.v.weight.grad.clone()]
    torch.testing.assert_close(grads[0.0][0], grads[0.5][0])
    assert grads[0.0][1].abs().max() == 0 < grads[0.5][1].abs().max()
    with pytest.raises(ValueError, match="learns_variance"):
        HybridLoss(Preconditioned(net, Cosine()), weights.Velocity())


def test_a_learned_uncertainty_finds_the_logarithm_of_the_loss():
    """Where w e^2 is a known function of the noise level, the minimum of exp(-u) l + u is u = log l."""
    u = Uncertainty()
    optimizer = torch.optim.Adam(u.parameters(), lr=0.02)
    level = torch.linspace(-2.5, 2.5, 200)
    for _ in range(600):
        guess = u(level)
        optimizer.zero_grad()
        ((-guess).exp() * (1 + level**2) + guess).mean().backward()
        optimizer.step()
    torch.testing.assert_close(u(level), (1 + level**2).log(), rtol=0, atol=0.15)
