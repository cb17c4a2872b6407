"""What is imported walks as diffusers' own scheduler does, and no setting of it is passed over."""

import importlib
import json
import warnings

import diffusers
import pytest
import torch

from reverie.core.noise import Seeded
from reverie.errors import ReverieError
from reverie.hub import load_folder
from reverie.hub.folders import read_folder
from reverie.hub.schedulers import READERS, read_scheduler

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
STEPS = 5
CASES = [
    ("DDPMScheduler", {}),
    ("DDPMScheduler", {"variance_type": "fixed_large", "clip_sample": False}),
    ("DDPMScheduler", {"beta_schedule": "sigmoid", "prediction_type": "sample", "clip_sample_range": 0.5}),
    ("DDPMScheduler", {"thresholding": True, "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.9}),
    ("DDIMScheduler", {}),
    ("DDIMScheduler", {"beta_schedule": "squaredcos_cap_v2", "clip_sample": False, "num_train_timesteps": 500}),
    ("DDIMScheduler", {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
                       "set_alpha_to_one": False, "steps_offset": 1}),
    ("DDIMScheduler", {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"solver_order": 1}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "thresholding": True}),
    ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "timestep_spacing": "leading", "steps_offset": 1}),
    ("DPMSolverMultistepScheduler", {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}),
    ("UniPCMultistepScheduler", {}),
    ("UniPCMultistepScheduler", {"timestep_spacing": "leading", "use_exponential_sigmas": True}),
    ("DEISMultistepScheduler", {"lower_order_final": False}),
    ("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}),
    ("EulerDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1, "beta_schedule": "scaled_linear"}),
    ("EulerDiscreteScheduler", {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "leading"}),
]  # fmt: skip


class Heard:
    """A source of noise that remembers what it gave."""

    def __init__(self, source):
        self.source, self.given = source, []

    def draw(self, like, t=None, s=None):
        self.given.append(self.source.draw(like, t, s))
        return self.given[-1]


def ours(system, source):
    times = system.grid(None, STEPS)(system.denoiser.schedule)
    unit = source.draw(torch.empty(2, *system.shape))
    x = system.start(unit, times[0])
    heard = Heard(source)
    for state in system.defaults.sampler.trajectory(system.guided({}, 2, 1.0, "float32"), x, times, heard):
        x = state.x_t
    return unit, heard.given, x


@torch.no_grad()
def theirs(scheduler, unet, unit, draws, monkeypatch):
    module, left = importlib.import_module(type(scheduler).__module__), iter(draws)
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: next(left, torch.zeros_like(unit)))
    scheduler.set_timesteps(STEPS)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # as pipelines do: two levels may have one index
    y = unit * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        y = scheduler.step(unet(scheduler.scale_model_input(y, t), t).sample, t, y).prev_sample
    return y


@pytest.mark.parametrize("predicts", ["v_prediction", "epsilon"])
@pytest.mark.parametrize(("name", "config"), CASES, ids=lambda v: str(v)[:60])
def test_the_walk_is_theirs_from_the_same_noise(name, config, predicts, saved, unet, monkeypatch):
    """A random network's velocity makes guesses of about unit size, so that little goes unseen; its noise, of a hundred."""
    scheduler = getattr(diffusers, name)(**{"prediction_type": predicts} | config)
    unit, draws, x = ours(load_folder(saved(scheduler)), Seeded.at(0, [0, 1]))
    y = theirs(scheduler, unet, unit, draws, monkeypatch)
    assert y.std() > 0.01 and y.isfinite().all()
    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4 * y.std().item())


WORDS = {
    "linear": "scaled_linear", "epsilon": "v_prediction", "leading": "trailing", "linspace": "trailing",
    "dpmsolver++": "sde-dpmsolver++", "bh2": "bh1", "zero": "sigma_min", "fixed_small": "fixed_large",
    "midpoint": "heun", "deis": "other", "logrho": "other", "discrete": "continuous", "exponential": "linear",
}  # fmt: skip
OTHER = {bool: lambda v: not v, int: lambda v: v + 1, float: lambda v: v / 2 if v else 0.5, str: WORDS.get}
BASE = {"PNDMScheduler": {"steps_offset": 1}, "DEISMultistepScheduler": {"lower_order_final": False}}
INERT = {
    "trained_betas", "sample_max_value", "dynamic_thresholding_ratio", "steps_offset", "interpolation_type",
    "euler_at_final", "thresholding",
}  # fmt: skip
"""Of the defaults: not used until another setting is; the last step's order, which is first already; thresholds that go no
further than 1, which clamp as `clip_sample` does."""
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    EVERY = [
        (kind, field) for kind in READERS for field in getattr(diffusers, kind)().config if not field.startswith("_")
    ]


@pytest.mark.parametrize(("kind", "field"), EVERY, ids=lambda v: v)
def test_a_setting_that_changes_is_noticed_or_refused(kind, field, saved):
    path = saved(getattr(diffusers, kind)(**BASE.get(kind, {})))
    before = read_scheduler(read_folder(path).parts["scheduler"], 50)
    file = path / "scheduler" / "scheduler_config.json"
    config = json.loads(file.read_text())
    value = config[field]
    if field == "clip_sample_range" and not config.get("clip_sample"):
        return
    change = OTHER[type(value)](value) if type(value) in OTHER else [1e-3] * 1000 if field == "trained_betas" else 0.5
    if field == "disable_corrector":
        change = [0]
    if value is None and field == "variance_type":
        change = "learned_range"
    if value == float("-inf"):
        change = -5.1
    assert change is not None and change != value, (field, value)
    file.write_text(json.dumps(config | {field: change}))
    try:
        after = read_scheduler(read_folder(path).parts["scheduler"], 50)
    except ReverieError as error:
        after = str(error)
    if isinstance(after, str):
        assert field in after or "num_train_timesteps" in after
        return
    offset_counts = field == "steps_offset" and config["timestep_spacing"] == "leading"
    assert after != before or (field in INERT - {"trained_betas"} and not offset_counts)


def test_a_setting_that_nobody_knows_is_refused_by_name(saved):
    path = saved(diffusers.DDIMScheduler())
    file = path / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sharpness": 3}))
    with pytest.raises(ReverieError, match="sharpness"):
        load_folder(path)


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("DDPMScheduler", {"variance_type": "learned_range"}, "variance_type=learned_range"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True}, "prediction_type=epsilon"),
        ("DDIMScheduler", {"set_alpha_to_one": False}, "set_alpha_to_one=False"),
        ("DPMSolverMultistepScheduler", {"solver_type": "heun"}, "solver_type=heun"),
        (
            "DPMSolverMultistepScheduler",
            {"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"},
            "use_karras_sigmas",
        ),
        ("DPMSolverMultistepScheduler", {"solver_order": 3}, "lacks a factor"),
        ("UniPCMultistepScheduler", {"solver_order": 3}, "solver_order=3"),
        ("DEISMultistepScheduler", {}, "lower_order_final=True"),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, "use_lu_lambdas=True"),
        ("UniPCMultistepScheduler", {"predict_x0": False}, "predict_x0=False"),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous", "prediction_type": "v_prediction"}, "timestep_type"),
        ("HeunDiscreteScheduler", {}, "HeunDiscreteScheduler"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(name, config, says, saved):
    with pytest.raises(ReverieError, match=says):
        load_folder(saved(getattr(diffusers, name)(**config)))
