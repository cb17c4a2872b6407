"""Samplers of diffusers that step in sigma / alpha, as k-diffusion's do, against ours, from noise to data."""

import pytest
import torch
from measures import Bumps, Remembered, uneven
from walks import Given, drawing, draws, over_sigmas

from benchmarks.samplers_problems import log_snr, uniform
from reverie.core.schedules import LinearVP
from reverie.samplers.adams_bashforth import AdamsBashforth
from reverie.samplers.dpm2 import DPM2
from reverie.samplers.dpm2_ancestral import DPM2Ancestral
from reverie.samplers.euler import Euler
from reverie.samplers.euler_ancestral import EulerAncestral

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SCHEDULE = Remembered(LinearVP())
STEPS = 40
"""So many that only in one place our rule leaves old guesses out and theirs does not: the uneven grid's last step, to no
noise, from order 3."""
THEIRS = [
    ("euler_discrete", "EulerDiscreteScheduler", Euler(), {}),
    ("k_dpm_2_discrete", "KDPM2DiscreteScheduler", DPM2(), {}),
    ("lms_discrete", "LMSDiscreteScheduler", AdamsBashforth(1, "noise"), {"order": 1}),
    ("lms_discrete", "LMSDiscreteScheduler", AdamsBashforth(2, "noise"), {"order": 2}),
    ("lms_discrete", "LMSDiscreteScheduler", AdamsBashforth(3, "noise"), {"order": 3}),
    ("lms_discrete", "LMSDiscreteScheduler", AdamsBashforth(4, "noise"), {"order": 4}),
    ("euler_ancestral_discrete", "EulerAncestralDiscreteScheduler", EulerAncestral(), {}),
    ("k_dpm_2_ancestral_discrete", "KDPM2AncestralDiscreteScheduler", DPM2Ancestral(), {}),
]


@pytest.mark.parametrize("wide", [True, False], ids=["float64", "as shipped"])
@pytest.mark.parametrize("grid", [uniform, log_snr, uneven], ids=lambda grid: grid.__name__)
@pytest.mark.parametrize(("file", "name", "sampler", "asked"), THEIRS, ids=lambda v: v if isinstance(v, str) else "")
def test_ours_is_theirs_step_by_step_down_to_no_noise(file, name, sampler, asked, grid, wide, monkeypatch):
    d = Bumps(SCHEDULE)
    levels = torch.cat([grid(STEPS, SCHEDULE), torch.zeros(1)]).double()
    x = d.at(levels[0]).to(torch.float64 if wide else torch.float32)
    drawn = draws(STEPS + 1, x)
    drawing(monkeypatch, file, Given(drawn), x)
    theirs = list(over_sigmas(file, name, d, x, levels, wide, **asked))
    mine = list(sampler.trajectory(d, x, levels, Given(drawn)))
    stages, tolerance = sampler.evaluations.step, 1e-6 if wide else 1e-4
    same = list(zip(mine, theirs[stages - 1 :: stages] + theirs[-1:] * (stages - 1), strict=True))
    for state, their in same[:-1] if grid is uneven and sampler.order > 2 else same:
        alpha = SCHEDULE(state.t)[0].to(x)
        torch.testing.assert_close(state.x_t, alpha * their, rtol=tolerance, atol=tolerance)
