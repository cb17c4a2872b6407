"""Samplers of diffusers and azula that draw noise, against ours on the same draws; where they are wrong, ours are not."""

import math

import pytest
import torch
from measures import Bell, Bumps, Remembered, error_of_the_marginal, even, uneven
from walks import Given, drawing, draws

from benchmarks.samplers_peers import azula_walk, diffusers_walk
from benchmarks.samplers_problems import log_snr, uniform
from reverie.core.schedules import LinearVP
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpmpp_1_sde import DPMpp1SDE
from reverie.samplers.dpmpp_2m_sde import DPMpp2MSDE
from reverie.samplers.dpmpp_3m_sde import DPMpp3MSDE
from reverie.samplers.dpmpp_sde import DPMppSDE

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SCHEDULE = Remembered(LinearVP())
EARLY = {"algorithm_type": "sde-dpmsolver++", "final_sigmas_type": "sigma_min", "lower_order_final": False}
"""Full order to the end of the grid, which stands above no noise."""


def diffusers(steps, order, wide=True, **config):
    name = f"DPMSolver{steps.capitalize()}Scheduler"
    return diffusers_walk(f"dpmsolver_{steps}", name, wide, solver_order=order, **EARLY, **config)


def compared(walk, sampler, grid, drawn, x, tolerance, d):
    mine = sampler.trajectory(d, x, grid, Given(drawn))
    for state, their in zip(mine, walk(d, x, grid), strict=True):
        torch.testing.assert_close(state.x_t.double(), their.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("wide", [True, False], ids=["float64", "as shipped"])
@pytest.mark.parametrize("grid", [uniform, log_snr, uneven], ids=lambda grid: grid.__name__)
@pytest.mark.parametrize(
    ("steps", "sampler"),
    [("multistep", DPMpp1SDE()), ("singlestep", DPMpp1SDE()), ("multistep", DPMpp2MSDE())],
    ids=["multistep 1", "singlestep 1", "multistep 2"],
)
def test_sde_dpm_solver_is_theirs_step_by_step(steps, sampler, grid, wide, monkeypatch):
    d, times = Bumps(SCHEDULE), grid(20, SCHEDULE)
    x = d.at(times[0]).to(torch.float64 if wide else torch.float32)
    drawn, order = draws(20, x), 2 if isinstance(sampler, DPMpp2MSDE) else 1
    drawing(monkeypatch, f"dpmsolver_{steps}", Given(drawn), x)
    compared(diffusers(steps, order, wide), sampler, times, drawn, x, 1e-6 if wide else 1e-4, d)


@pytest.mark.parametrize("grid", [uniform, log_snr, uneven], ids=lambda grid: grid.__name__)
@pytest.mark.parametrize(
    ("name", "config", "sampler"),
    [("DDPMSampler", {}, DDPM()), ("DDIMSampler", {"eta": 0.25}, DDIM(0.5)), ("DDIMSampler", {"eta": 1.0}, DDIM(1.0))],
    ids=["DDPM", "DDIM of a quarter", "DDIM of one"],
)
def test_ours_is_azulas_whose_eta_is_the_square_of_ours(name, config, sampler, grid, monkeypatch):
    d, times = Bumps(SCHEDULE), grid(20, SCHEDULE)
    x = d.at(times[0])
    drawn = draws(20, x)
    given = Given(drawn)
    monkeypatch.setattr(torch, "randn_like", given.draw)
    compared(azula_walk(name, **config), sampler, times, drawn, x, 1e-6, d)


class Theirs:
    """A walk of theirs as `measures` takes a sampler: its coefficients are read off by probing."""

    stochastic = True

    def __init__(self, walk, file, monkeypatch):
        self.walk, self.file, self.monkeypatch = walk, file, monkeypatch

    def __call__(self, denoiser, x_t, grid, noise):
        drawing(self.monkeypatch, self.file, noise, x_t)
        *_, end = self.walk(denoiser, x_t, grid)
        return end


def errors(sampler, ns=(96, 192)):
    """Of mean and spread of Gaussian data, without a draw."""
    return [error_of_the_marginal(sampler, Bell(SCHEDULE), even(n, SCHEDULE)) for n in ns]


def slope(pair):
    return math.log2(pair[0] / pair[1])


@pytest.mark.parametrize("order", [2, 3])
def test_their_singlestep_sde_is_worse_than_its_first_order_and_ours_is_of_second(order, monkeypatch):
    """Its last stage starts from the noise of the first and draws all anew, so the guesses within never know it."""
    first, theirs = (
        errors(Theirs(diffusers("singlestep", k), "dpmsolver_singlestep", monkeypatch)) for k in (1, order)
    )
    assert slope(first) > 0.9 and slope(theirs) < 1.1
    assert theirs[0] > 1.5 * first[0] and theirs[1] > 1.5 * first[1]
    mine = errors(DPMppSDE(), (48, 96))  # two evaluations a step
    assert slope(mine) > 1.75 and mine[1] < 0.05 * theirs[1]


def test_their_third_order_singlestep_sde_by_heun_does_not_converge(monkeypatch):
    walk = diffusers("singlestep", 3, solver_type="heun")
    assert errors(Theirs(walk, "dpmsolver_singlestep", monkeypatch), (192,))[0] > 1


def test_their_third_order_multistep_sde_is_of_first_in_the_spread_and_ours_of_second(monkeypatch):
    """The half of its second difference has the wrong sign: alpha (c - 1/2) D2 for 2 alpha (c + 1/2) D2."""
    theirs, mine = errors(Theirs(diffusers("multistep", 3), "dpmsolver_multistep", monkeypatch)), errors(DPMpp3MSDE())
    assert slope(theirs) < 1.1 and slope(mine) > 1.75 and mine[1] < 0.05 * theirs[1]

    d, times = Bumps(SCHEDULE), uneven(8, SCHEDULE)[:4]
    x, drawn = d.at(times[0]), draws(3, d.at(times[0]))
    way = [x, *(state.x_t for state in DPMpp3MSDE().trajectory(d, x, times, Given(drawn)))]
    drawing(monkeypatch, "dpmsolver_multistep", Given(drawn), x)
    walk = diffusers("multistep", 3)(d, x, times)
    next(walk), next(walk), walk.send(way[2])
    m, (h_1, h_0, h) = [d(x_t, t).x_hat for x_t, t in zip(way, times)], (SCHEDULE.schedule.log_snr(times) / 2).diff()
    D2 = ((m[2] - m[1]) / h_0 - (m[1] - m[0]) / h_1) * h**2 / (h_0 + h_1)
    c = (1 - (-2 * h).exp() - 2 * h) / (2 * h) ** 2
    mended = next(walk) + SCHEDULE(times[3])[0] * (2 * (c + 1 / 2) - (c - 1 / 2)) * D2
    torch.testing.assert_close(way[3], mended, rtol=1e-9, atol=1e-9)
