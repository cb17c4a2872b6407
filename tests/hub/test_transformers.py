"""DiT, PixArt and Flux by the networks of diffusers: from condition to pixels as their pipelines, and safe to load."""

import json
import shutil

import diffusers
import pytest
import torch

transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402
from small_diffusion import dit, flux, pixart  # noqa: E402

import reverie  # noqa: E402
from reverie.core.noise import Seeded  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import import_folder, load_folder  # noqa: E402
from reverie.hub.transformers import FluxPipeline  # noqa: E402
from reverie.nn.borrowed import Borrowed  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
PROMPTS = ["a red heart", "The cat on blue "]
STEPS = 5


def ddim():
    return diffusers.DDIMScheduler(**LATENT, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


def dpm():
    return diffusers.DPMSolverMultistepScheduler(**LATENT)


BUILDS = {
    "DiT": lambda folder: dit(folder, ddim()),
    "PixArt alpha": lambda folder: pixart(folder, dpm(), diffusers.PixArtAlphaPipeline, size=128),
    "PixArt sigma": lambda folder: pixart(folder, dpm()),
    "Flux dev": flux,
    "Flux schnell": lambda folder: flux(folder, dynamic=False, guided=False),
}
ASKED = {"DiT": ["thing 3", "thing 3 (7)"]}
TOLD = {
    "DiT": lambda unit: {"class_labels": [6, 7], "guidance_scale": 4.0},
    "PixArt alpha": lambda unit: {"prompt": PROMPTS, "guidance_scale": 4.0, "height": 64, "width": 64,
                                  "use_resolution_binning": False, "clean_caption": False},
    "PixArt sigma": lambda unit: TOLD["PixArt alpha"](unit),
    "Flux dev": lambda unit: {"prompt": PROMPTS, "height": 16, "width": 16, "max_sequence_length": 512},
    "Flux schnell": lambda unit: TOLD["Flux dev"](unit),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    kept = {}

    def make(kind):
        if kind not in kept:
            folder = tmp_path_factory.mktemp("pipeline")
            pipe = BUILDS[kind](folder)
            pipe.save_pretrained(folder / "theirs")
            if kind == "DiT":  # as published ones say it
                index = folder / "theirs" / "model_index.json"
                names = {str(i): f"thing {i // 2}" for i in range(1000)}
                index.write_text(json.dumps(json.loads(index.read_text()) | {"id2label": names}))
            pipe.set_progress_bar_config(disable=True)
            kept[kind] = pipe, folder / "theirs"
        return kept[kind]

    return make


@torch.no_grad()
@pytest.mark.parametrize("kind", BUILDS)
def test_from_what_is_asked_to_pixels_it_is_theirs(kind, made, monkeypatch):
    pipe, folder = made(kind)
    monkeypatch.setattr(FluxPipeline, "size", 8)
    system = load_folder(folder)
    system.shape = (system.shape[0], 8, 8)
    unit = Seeded.at(3, [0, 1]).draw(torch.empty(2, *system.shape))
    scale = 1.0 if "Flux" in kind else 4.0
    found = system.generate(2, seed=3, condition=ASKED.get(kind, PROMPTS), sample_steps=STEPS, scale=scale).raw.float()
    told = TOLD[kind](unit)
    if "Flux" in kind:
        told["latents"] = pipe._pack_latents(unit, 2, 16, *unit.shape[2:])
    elif kind == "DiT":
        monkeypatch.setattr("diffusers.pipelines.dit.pipeline_dit.randn_tensor", lambda *shape, **more: unit.clone())
    else:
        told["latents"] = unit.clone()
    theirs = pipe(**told, num_inference_steps=STEPS, output_type="np").images
    theirs = torch.from_numpy(theirs).permute(0, 3, 1, 2) * 255
    assert found.std() > 1
    assert (found - theirs).abs().max() < 0.51, "what rounding to a level does, and no more"


def test_classes_are_told_by_name_and_those_of_one_name_apart(made):
    system = load_folder(made("DiT")[1])
    assert system.conditioner.classes[6:8] == ("thing 3", "thing 3 (7)")
    assert system.conditioner.parse(["thing 3 (7)", "999", None])["label"].tolist() == [7, 999, -1]


@pytest.mark.parametrize("kind", ["DiT", "PixArt alpha", "Flux dev"])
def test_the_run_is_whole_alone(kind, made, tmp_path):
    _, folder = made(kind)
    system = import_folder(folder, tmp_path / "run")
    again = reverie.load(tmp_path / "run")
    assert isinstance(again.network, Borrowed) and again.network.config == system.network.config
    asked = ASKED.get(kind, PROMPTS)
    for one in (system, again):
        one.shape = (one.shape[0], 8, 8)
    assert torch.equal(
        system.generate(2, condition=asked, sample_steps=2).raw, again.generate(2, condition=asked, sample_steps=2).raw
    )
    again.network.train()
    assert not again.network.inside.training
    assert all(p.requires_grad for p in again.network.parameters())


def changed(folder, part, change):
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.mark.parametrize(
    ("kind", "part", "change", "says"),
    [
        ("DiT", "transformer", {"new_setting": 3}, "new_setting"),
        ("DiT", "transformer", {"num_layers": 10**9}, "num_layers"),
        ("DiT", "transformer", {"num_layers": 3}, "missing"),
        ("DiT", "transformer", {"sample_size": 4096}, "sample_size"),
        ("PixArt alpha", "transformer", {"caption_channels": 64}, "misshapen"),
        ("Flux dev", "scheduler", {"use_karras_sigmas": True}, "use_karras_sigmas"),
        ("Flux dev", "scheduler", {"time_shift_type": "linear"}, "time_shift_type"),
        ("Flux dev", "scheduler", {"strange": 1}, "strange"),
        ("Flux dev", "text_encoder", {"hidden_size": 64}, "is told 32 numbers"),
    ],
    ids=str,
)
def test_what_is_not_done_here_is_refused_by_name(kind, part, change, says, made, tmp_path):
    copied = shutil.copytree(made(kind)[1], tmp_path / "theirs")
    changed(copied, part, change)
    with pytest.raises(ReverieError, match=says):
        import_folder(copied, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_older_names_of_the_same_network_are_read(made, tmp_path):
    """As the published DiT and the first PixArt call it."""
    copied = shutil.copytree(made("DiT")[1], tmp_path / "theirs")
    changed(copied, "transformer", {"_class_name": "Transformer2DModel", "cross_attention_dim": None, "num_vector_embeds": None,
                                    "only_cross_attention": False, "caption_channels": None})  # fmt: skip
    index = copied / "model_index.json"
    index.write_text(index.read_text().replace("DiTTransformer2DModel", "Transformer2DModel"))
    one, other = (
        load_folder(place).generate(1, sample_steps=2, condition="7").raw for place in (made("DiT")[1], copied)
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    "change", [{"shift": 1.0, "use_dynamic_shifting": False}, {"max_shift": 1.6}, {"base_image_seq_len": 1024}]
)
def test_every_setting_of_the_shift_is_noticed(change, made, tmp_path, monkeypatch):
    monkeypatch.setattr(FluxPipeline, "size", 64)
    copied = shutil.copytree(made("Flux dev")[1], tmp_path / "theirs")
    before = load_folder(copied).defaults.grid
    changed(copied, "scheduler", change)
    assert load_folder(copied).defaults.grid != before


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "UNet2DModel"},
        {"kind": "os.system", "settings": {}},
        {"settings": {"num_layers": -1}},
        {"settings": {"num_layers": {"a": 1}}},
        {"settings": {"norm_type": ["x"] * 99}},
        {"settings": {"unknown": 1}},
        {"settings": [1]},
    ],
    ids=str,
)
def test_a_description_that_is_hostile_makes_no_network(config):
    with pytest.raises(ValueError, match=r"borrowed|num_layers|norm_type|unknown|settings"):
        Borrowed.sketch(**config)


def test_a_tensor_that_is_missing_is_named(made, tmp_path):
    copied = shutil.copytree(made("DiT")[1], tmp_path / "theirs")
    weights = next((copied / "transformer").glob("*.safetensors"))
    tensors = load_file(weights)
    tensors.pop("transformer_blocks.1.attn1.to_q.weight")
    save_file(tensors, weights)
    with pytest.raises(ReverieError, match=r"transformer_blocks\.1\.attn1\.to_q"):
        load_folder(copied)
