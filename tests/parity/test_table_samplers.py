"""Samplers of diffusers over the indices of a table, against ours on the same levels and draws."""

import pytest
import torch
from diffusers import IPNDMScheduler
from measures import COSINE, Bumps
from walks import Given, drawing, draws, over_a_table

from reverie.core import grids
from reverie.core.denoisers import Denoiser
from reverie.core.schedules import LinearBetas
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.ipndm import IPNDM
from reverie.samplers.plms import PLMS
from reverie.samplers.pndm import PNDM

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
TABLE, STEPS = LinearBetas(), 20
X = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
wide_or_shipped = pytest.mark.parametrize("wide", [True, False], ids=["float64", "as shipped"])


class Sure(Denoiser):
    """The same guess of a network that learned a variance, two thirds of the way up to the larger."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.schedule = denoiser, denoiser.schedule

    def forward(self, x_t, t):
        return self.denoiser(x_t, t)._replace(fraction=torch.full_like(x_t, 2 / 3))


def compared(mine, theirs, wide, last=None):
    tolerance = 1e-6 if wide else 1e-4
    for state, x in list(zip(mine, theirs, strict=True))[:last]:
        torch.testing.assert_close(state.x_t, x, rtol=tolerance, atol=tolerance)


@wide_or_shipped
@pytest.mark.parametrize(
    ("sampler", "kind"),
    [(DDPM(0.0), "fixed_small"), (DDPM(1.0), "fixed_large"), (DDPM(None), "learned_range")],
    ids=["small", "large", "learned"],
)
def test_ancestral_sampling_is_theirs_with_each_variance_down_to_the_data(sampler, kind, wide, monkeypatch):
    x = X if wide else X.float()
    d = Sure(Bumps(TABLE)) if kind == "learned_range" else Bumps(TABLE)
    drawn = draws(STEPS, x)
    drawing(monkeypatch, "ddpm", Given(drawn), x)
    theirs = over_a_table("ddpm", "DDPMScheduler", d, x, STEPS, wide, variance_type=kind, clip_sample=False)
    compared(sampler.trajectory(d, x, grids.Leading(STEPS)(TABLE), Given(drawn)), theirs, wide)


@wide_or_shipped
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_theirs_step_by_step_down_to_the_data(eta, wide, monkeypatch):
    x, d = X if wide else X.float(), Bumps(TABLE)
    drawn = draws(STEPS, x)
    drawing(monkeypatch, "ddim", Given(drawn), x)
    theirs = over_a_table("ddim", "DDIMScheduler", d, x, STEPS, wide, {"eta": eta}, clip_sample=False)
    compared(DDIM(eta).trajectory(d, x, grids.Leading(STEPS)(TABLE), Given(drawn)), theirs, wide)


@wide_or_shipped
@pytest.mark.parametrize("sampler", [PNDM(), PLMS()], ids=repr)
def test_pseudo_multistep_methods_are_theirs_down_to_the_last_index(sampler, wide):
    """The step from there to the data is 50 times shorter than the others, and has weights of its own here."""
    x, d = X if wide else X.float(), Bumps(TABLE)
    skip = isinstance(sampler, PLMS)
    theirs = list(over_a_table("pndm", "PNDMScheduler", d, x, STEPS, wide, skip_prk_steps=skip, set_alpha_to_one=True))
    ends = theirs[1:] if skip else theirs[3:12:4] + theirs[12:]  # after Heun's or Runge-Kutta's last stage
    compared(sampler.trajectory(d, x, grids.Leading(STEPS)(TABLE), None), ends, wide, -1)


@wide_or_shipped
def test_ipndm_is_theirs_on_even_times_of_the_cosine_schedule(wide, monkeypatch):
    """Theirs is for that schedule alone, told the velocity; its own levels are not even in time, its weights are."""
    times = torch.linspace(0.95, 0.05, STEPS + 1, dtype=torch.float64)
    theirs = IPNDMScheduler(num_train_timesteps=STEPS, trained_betas=COSINE.schedule(times)[1].tolist())
    theirs.set_timesteps(STEPS)
    if wide:
        theirs.alphas, theirs.betas = COSINE.schedule(times)
    theirs.set_begin_index(0)
    x, d = X if wide else X.float(), Bumps(COSINE)

    def walk(x):
        for t, time in zip(times[:-1], theirs.timesteps):
            alpha, sigma = (c.to(x) for c in COSINE.schedule(t))
            x_hat = d(x, t).x_hat
            x = theirs.step(alpha * (x - alpha * x_hat) / sigma - sigma * x_hat, time, x).prev_sample
            yield x

    compared(IPNDM().trajectory(d, x, times, None), walk(x), wide)
