"""Step by step, ours are diffusers' and azula's samplers where those are right; where they are wrong, ours are not.

Both libraries are needed: `make test` installs diffusers, and azula without its dependencies.
"""

import math

import pytest
import torch
from measures import HISTORY, Bumps, Remembered, error_from_exact_history, uneven

from benchmarks.samplers_peers import peers
from benchmarks.samplers_problems import log_snr, uniform
from reverie import samplers
from reverie.core.schedules import VE, LinearVP
from reverie.discover import parse
from reverie.samplers.base import Sampler

pytestmark = pytest.mark.filterwarnings(  # of diffusers' own making
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)
VARIANCE_PRESERVING, EXPLODING = Remembered(LinearVP()), Remembered(VE())
OURS = {
    "multistep dpmsolver++ 2, full order at the end": "dpmpp2m",
    "UniPC bh1 1, full order at the end": "unipc(order=1, bh=1)",
    "UniPC bh1 2, full order at the end": "unipc(order=2, bh=1)",
    "UniPC bh2 1, full order at the end": "unipc(order=1)",
    "UniPC bh2 2, full order at the end": "unipc(order=2)",
    "UniPC bh2 3, full order at the end": "unipc(order=3)",
    "UniPC bh2 4, full order at the end": "unipc(order=4)",
    "DEIS 2, full order at the end": "deis(order=2, over='log_snr')",
    "DEIS 3, full order at the end": "deis(order=3, over='log_snr')",
    "Euler": "euler",
    "zAB 2": "adamsbashforth(order=2, on='noise')",
    "zAB 3": "adamsbashforth(order=3, on='noise')",
    "zAB 4": "adamsbashforth(order=4, on='noise')",
    "xEAB 2": "adamsbashforth(order=2, on='x_hat')",
    "xEAB 3": "adamsbashforth(order=3, on='x_hat')",
    "xEAB 4": "adamsbashforth(order=4, on='x_hat')",
    "zEAB 2": "deis(order=2, over='log_snr')",
    "zEAB 3": "deis(order=3, over='log_snr')",
    "zEAB 4": "deis(order=4, over='log_snr')",
    "DDIM": "ddim",
}
"""Theirs, and what it is here. Peers whose formula has no counterpart: multistep dpmsolver (their own midpoint form),
vAB (on the clock sigma / (alpha + sigma), where ours is the angle)."""
WIDE, SHIPPED = ({peer.name: peer for peer in peers(wide)} for wide in (True, False))


def ours(text):
    return parse("sampler", samplers, Sampler, text)


LEFT_OUT = ("xEAB 3", "xEAB 4", "DEIS 3, full order at the end", "zEAB 3", "zEAB 4")
"""The last step of the uniform grid is so long beside those before it that our rule leaves old guesses out there, and theirs
does not."""


def compared(peer, sampler, schedule, grid, tolerance, dtype=torch.float64, steps=None):
    d = Bumps(schedule)
    x = d.at(grid[0]).to(dtype)
    theirs = list(peer.walk(d, x, grid))
    mine = [state.x_t for state in sampler.trajectory(d, x, grid, None)]
    each = len(theirs) // len(mine)
    for k, (a, b) in list(enumerate(zip(mine, theirs[each - 1 :: each], strict=True)))[:steps]:
        torch.testing.assert_close(a.double(), b.double(), rtol=tolerance, atol=tolerance, msg=f"step {k}")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("grid", [uniform, log_snr, uneven], ids=lambda grid: grid.__name__)
def test_ours_is_theirs_step_by_step_with_tables_in_float64(name, grid):
    steps = 19 if grid is uniform and name in LEFT_OUT else 20
    compared(WIDE[name], ours(OURS[name]), VARIANCE_PRESERVING, grid(20, VARIANCE_PRESERVING), 1e-6, steps=steps)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_where_ours_leaves_old_guesses_out_it_ends_nearer_to_the_flow(name):
    d, grid = Bumps(VARIANCE_PRESERVING), uniform(20, VARIANCE_PRESERVING)
    *_, theirs = WIDE[name].walk(d, d.at(grid[0]), grid)
    mine = ours(OURS[name])(d, d.at(grid[0]), grid, None)
    miss = lambda x: (x - d.at(grid[-1])).square().mean().sqrt()
    assert miss(mine) < 0.8 * miss(theirs), (miss(mine), miss(theirs))


@pytest.mark.parametrize("name", [name for name in OURS if WIDE[name].library == "diffusers"])
def test_ours_is_theirs_as_shipped(name):
    compared(
        SHIPPED[name], ours(OURS[name]), VARIANCE_PRESERVING, log_snr(20, VARIANCE_PRESERVING), 1e-4, torch.float32
    )


@pytest.mark.parametrize("peer", [peer for peer in peers() if peer.name == "Heun"], ids=lambda peer: peer.library)
def test_ours_is_theirs_where_alpha_is_one(peer):
    """They integrate x / alpha against sigma / alpha, ours dalpha and dsigma: the same on a schedule that explodes."""
    compared(peer, ours("heun"), EXPLODING, uneven(20, EXPLODING), 1e-6)


def led(peer, grid):
    """The error of a peer whose memory is filled along the exact flow."""
    d = Bumps(VARIANCE_PRESERVING)
    walk = peer.walk(d, d.at(grid[0]), grid)
    for k in range(1, HISTORY + 1):
        next(walk)
        walk.send(d.at(grid[k]))
    *_, end = walk
    return (end - d.at(grid[-1])).square().mean().sqrt().item()


def slope(error, n=128):
    return math.log2(error(n) / error(2 * n))


def test_their_third_order_multistep_lacks_a_factor_and_is_of_second():
    """Half the second difference: D2 is not divided by 2, so that the term is twice what it should be."""
    theirs = slope(
        lambda n: led(WIDE["multistep dpmsolver++ 3, full order at the end"], uneven(n, VARIANCE_PRESERVING))
    )
    assert theirs < 2.3
    mine = slope(
        lambda n: error_from_exact_history(ours("dpmpp3m"), Bumps(VARIANCE_PRESERVING), uneven(n, VARIANCE_PRESERVING))
    )
    assert mine > 2.75


@pytest.mark.parametrize("order", [2, 3])
def test_their_rosenbrock_method_is_of_first_order_and_ours_of_third(order):
    """sigma_t stands where their docstring has sigma_s."""
    d = Bumps(VARIANCE_PRESERVING)

    def theirs(n):
        grid = uneven(n, VARIANCE_PRESERVING)
        *_, x = WIDE[f"REAB {order}"].walk(d, d.at(grid[0]), grid)
        return (x - d.at(grid[-1])).square().mean().sqrt().item()

    assert slope(theirs) < 1.3
    assert slope(lambda n: error_from_exact_history(ours("rosenbrock"), d, uneven(n, VARIANCE_PRESERVING)), 64) > 2.75


def test_their_third_order_deis_cancels_in_float32_and_ours_does_not():
    d, grid = Bumps(VARIANCE_PRESERVING), log_snr(256, VARIANCE_PRESERVING)
    x, truth = d.at(grid[0]).float(), d.at(grid[-1])
    *_, theirs = SHIPPED["DEIS 3, full order at the end"].walk(d, x, grid)
    mine = ours("deis(order=3, over='log_snr')")(d, x, grid, None)
    assert (mine - truth).abs().max() < 1e-3
    assert not (theirs - truth).abs().max() < 100 * (mine - truth).abs().max()


@pytest.mark.parametrize(("order", "rule"), [(3, "midpoint"), (2, "heun")])
def test_their_grid_that_ends_at_the_least_noise_stands_there_twice_and_makes_nan(order, rule):
    from diffusers import DPMSolverMultistepScheduler

    config = {"solver_order": order, "solver_type": rule, "use_karras_sigmas": True, "prediction_type": "sample"}
    theirs = DPMSolverMultistepScheduler(final_sigmas_type="sigma_min", **config)
    theirs.set_timesteps(20)
    assert theirs.sigmas[-1] == pytest.approx(theirs.sigmas[-2].item(), rel=1e-5)
    x = torch.ones(1, 1)
    for t in theirs.timesteps:
        x = theirs.step(0.9 * x, t, x).prev_sample
    assert x.isnan().all()
