"""Averages of weights, and the reconstruction of other lengths."""

import pytest
import torch
from torch import nn

from reverie.errors import ReverieError
from reverie.training.averages import Average, Power, Warmed, exponent, mixture, overlap, reconstruct, snapshot

f64 = torch.float64


def followed(rule, path, batch=10):
    """The average along a path of weights, a number a step."""
    net = nn.Linear(1, 1, bias=False)
    average = Average(net, rule)
    for i, value in enumerate(path):
        net.weight.data.fill_(value)
        average.update(net, i * batch, (i + 1) * batch)
    return average.tensors["weight"].item()


@pytest.mark.parametrize("std", [0.03, 0.1, 0.2])
def test_a_power_average_weighs_time_by_a_power_of_that_deviation(std):
    gamma = exponent(std)
    assert (gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)) == pytest.approx(std**2)
    t = torch.linspace(0, 1, 20_001, dtype=f64)
    density = (gamma + 1) * t**gamma
    for power in (1, 2):  # its moments: those of the path t, t^2
        truth = torch.trapezoid(density * t**power, t).item()
        assert followed(Power(std), (torch.arange(1, 801) / 800) ** power) == pytest.approx(truth, rel=5e-3)


def test_the_first_weights_are_forgotten_and_a_half_life_halves():
    assert followed(Power(0.1), [7.0]) == 7.0
    assert Warmed(1000, ramp=9.0).keep(1000, 2000) == pytest.approx(0.5)
    assert Warmed(1000, ramp=0.05).keep(100, 105) == pytest.approx(0.5)  # early on: a twentieth of what was seen
    assert followed(Warmed(), [7.0, 7.0, 7.0]) == 7.0
    for std in (0.0, 0.3):
        with pytest.raises(ReverieError, match=r"0\.288"):
            exponent(std)


def test_the_overlap_of_two_averages_is_the_integral_it_stands_for():
    t = torch.linspace(0, 1, 200_001, dtype=f64)
    for a, g, b, h in [(1.0, 3.0, 0.7, 5.0), (0.5, 8.0, 0.9, 2.0), (0.6, 4.0, 0.6, 9.0)]:
        p = torch.where(t <= a, (g + 1) * t**g / a ** (g + 1), 0)
        q = torch.where(t <= b, (h + 1) * t**h / b ** (h + 1), 0)
        ours = overlap(*torch.tensor([a, g, b, h], dtype=f64))
        assert ours.item() == pytest.approx(torch.trapezoid(p * q, t).item(), rel=1e-3)


def test_a_length_that_was_kept_is_its_own_reconstruction():
    kept = [(std, at) for at in (100, 200, 300) for std in (0.05, 0.1)]
    share = mixture(kept, 0.1, 300)
    torch.testing.assert_close(share, torch.tensor([0, 0, 0, 0, 0, 1.0], dtype=f64), rtol=0, atol=1e-6)
    assert mixture(kept, 0.08, 300).sum().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("std", [0.04, 0.07, 0.15])
def test_any_length_is_reconstructed_from_snapshots_of_two(std, tmp_path):
    """A path of weights that wanders: the reconstruction is near the average that was never kept."""
    stream = torch.Generator().manual_seed(0)
    path = (torch.randn(512, generator=stream) * 0.3).cumsum(0) + torch.linspace(0, 20, 512)
    net, truth = nn.Linear(1, 1, bias=False), None
    kept = [Average(net, Power(s)) for s in (0.05, 0.1)]
    truth = Average(net, Power(std))
    for i, value in enumerate(path):
        net.weight.data.fill_(value)
        for average in (*kept, truth):
            average.update(net, i, i + 1)
        if (i + 1) % 32 == 0:
            for average in kept:
                snapshot(tmp_path, average, i + 1)
    ours = reconstruct(tmp_path, std)["weight"].item()
    assert ours == pytest.approx(truth.tensors["weight"].item(), abs=0.02 * (path.max() - path.min()).item())
    assert abs(ours - path[-1].item()) > 0.1  # and is no copy of the last


def test_no_snapshots_is_said(tmp_path):
    with pytest.raises(ReverieError, match="no snapshots"):
        reconstruct(tmp_path, 0.1)
