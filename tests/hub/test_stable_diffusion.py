"""Stable Diffusion of three versions, made small with random weights: part by part and from prompt to pixels, as diffusers'."""

import json
import shutil

import diffusers
import pytest
import torch
from click.testing import CliRunner

transformers = pytest.importorskip("transformers")

from small_diffusion import stable_diffusion, stable_diffusion_xl  # noqa: E402

import reverie  # noqa: E402
from reverie.cli.app import app  # noqa: E402
from reverie.core.noise import Seeded  # noqa: E402
from reverie.errors import ReverieError, ReverieWarning  # noqa: E402
from reverie.hub import import_folder, load_folder  # noqa: E402
from reverie.nn.embeddings import sinusoid  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
SCHEDULERS = {
    "DDIM": lambda **more: diffusers.DDIMScheduler(
        **LATENT, clip_sample=False, set_alpha_to_one=False, steps_offset=1, **more
    ),
    "Euler": lambda **more: diffusers.EulerDiscreteScheduler(
        **LATENT, timestep_spacing="leading", steps_offset=1, **more
    ),
    "DPM-Solver++": lambda **more: diffusers.DPMSolverMultistepScheduler(**LATENT, **more),
    "UniPC": lambda **more: diffusers.UniPCMultistepScheduler(**LATENT, **more),
}
VERSIONS = {
    "1": (stable_diffusion, {}),
    "2": (lambda folder, scheduler: stable_diffusion(folder, scheduler, use_linear_projection=True, attention_head_dim=(2, 4, 4)),
          {"prediction_type": "v_prediction"}),
    "XL": (stable_diffusion_xl, {}),
}  # fmt: skip
PROMPTS = ["a red heart", "the cat on blue"]
STEPS = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(pipeline of theirs, its folder) of a version with a scheduler, each made once."""
    kept = {}

    def make(version, scheduler="DDIM"):
        if (version, scheduler) not in kept:
            folder = tmp_path_factory.mktemp("pipeline")
            build, more = VERSIONS[version]
            pipe = build(folder, SCHEDULERS[scheduler](**more))
            pipe.save_pretrained(folder / "theirs")
            pipe.set_progress_bar_config(disable=True)
            kept[version, scheduler] = pipe, folder / "theirs"
        return kept[version, scheduler]

    return make


@torch.no_grad()
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("version", VERSIONS)
def test_from_prompt_to_pixels_it_is_theirs(version, scheduler, made, monkeypatch):
    pipe, folder = made(version, scheduler)
    system = load_folder(folder)
    unit = Seeded.at(0, [0, 1]).draw(torch.empty(2, *system.shape))
    latents, decode = [], type(system.codec).decode
    monkeypatch.setattr(type(system.codec), "decode", lambda self, z: latents.append(z) or decode(self, z))
    pictures = system.generate(2, condition=PROMPTS, sample_steps=STEPS, scale=6.0).raw.float()
    told = {"num_inference_steps": STEPS, "guidance_scale": 6.0, "latents": unit.clone()}
    z = pipe(PROMPTS, output_type="latent", **told).images
    torch.testing.assert_close(latents[0], z, rtol=1e-4, atol=1e-4 * z.std().item())
    theirs = torch.from_numpy(pipe(PROMPTS, output_type="np", **told).images).permute(0, 3, 1, 2) * 255
    assert pictures.std() > 1 and (pictures - theirs).abs().max() < 0.51, "what rounding to a level does, and no more"


@torch.no_grad()
@pytest.mark.parametrize("version", VERSIONS)
def test_every_part_is_theirs(version, made):
    pipe, folder = made(version)
    system = load_folder(folder)
    x, index = torch.randn(2, 4, 8, 12), torch.tensor([3.0, 977.0])
    tokens = torch.randn(2, 7, system.network.tokens)
    more, told = {}, {}
    if version == "XL":
        pooled, numbers = torch.randn(2, 48), torch.tensor([[16.0, 16, 0, 0, 16, 16]]).expand(2, -1)
        told = {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": numbers}}
        more = {"scalars": torch.cat([pooled, sinusoid(numbers.flatten(), 8).reshape(2, -1)], 1)}
    truth = pipe.unet(x, index, tokens, **told).sample
    torch.testing.assert_close(system.network(x, index, tokens=tokens, **more), truth, rtol=1e-5, atol=1e-5)
    picture, vae = torch.rand(2, 3, 16, 24) * 2 - 1, system.codec.network
    torch.testing.assert_close(vae.encode(picture), pipe.vae.encode(picture).latent_dist.mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(vae.decode(x), pipe.vae.decode(x).sample, rtol=1e-5, atol=1e-5)
    said = system.conditioner(system.conditioner.parse(PROMPTS))
    if version == "XL":
        truth, _, pooled, _ = pipe.encode_prompt(PROMPTS, do_classifier_free_guidance=False)
        torch.testing.assert_close(said["scalars"][:, :48], pooled, rtol=1e-5, atol=1e-5)
    else:
        truth = pipe.encode_prompt(PROMPTS, "cpu", 1, False)[0]
    torch.testing.assert_close(said["tokens"], truth, rtol=1e-5, atol=1e-5)


def test_a_negative_prompt_is_theirs(made):
    pipe, folder = made("1")
    system = load_folder(folder)
    unit = Seeded.at(0, [0, 1]).draw(torch.empty(2, *system.shape))
    guidance = "extrapolated(scale=6.0, weak='blue cat')"
    pictures = system.generate(2, condition=PROMPTS, sample_steps=STEPS, guidance=guidance).raw.float()
    theirs = pipe(PROMPTS, negative_prompt=["blue cat"] * 2, num_inference_steps=STEPS, guidance_scale=6.0,
                  latents=unit.clone(), output_type="np").images  # fmt: skip
    assert (pictures - torch.from_numpy(theirs).permute(0, 3, 1, 2) * 255).abs().max() < 0.51
    plain = system.generate(2, condition=PROMPTS, sample_steps=STEPS, scale=6.0).raw.float()
    assert (plain - pictures).abs().max() > 1


def test_the_run_is_whole_without_the_folder_it_came_from(made, tmp_path):
    _, folder = made("XL")
    theirs = shutil.copytree(folder, tmp_path / "theirs")
    before = import_folder(theirs, tmp_path / "run").generate(2, condition=PROMPTS, sample_steps=2).raw
    shutil.rmtree(theirs)
    shutil.move(tmp_path / "run", tmp_path / "moved")
    system = reverie.load(tmp_path / "moved")
    found = system.generate(2, condition=PROMPTS, sample_steps=2)
    assert torch.equal(found.raw, before)
    system.save(tmp_path / "again")
    assert torch.equal(reverie.load(tmp_path / "again").generate(2, condition=PROMPTS, sample_steps=2).raw, before)
    alone = system.generate(index=[1], condition=PROMPTS, sample_steps=2).raw
    assert (alone.float() - before[1:].float()).abs().max() <= 1


def test_the_commands_know_what_its_pictures_are(made, tmp_path, monkeypatch):
    _, folder = made("1")
    monkeypatch.chdir(tmp_path)
    sample = ["sample", "run", "-n", "2", "--prompt", "a cat", "--sample-steps", "2", "--out", "made"]
    for arguments, says in (
        (["import", str(folder), "--out", "run"], "samples of 3x16x16"),
        (["info", "run"], "prompt, read by text_encoder"),
        (sample, "2 samples"),
        (["replay", "made/samples.json"], "2 of 2 match"),
    ):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0 and says in done.output, done.output


def test_a_safety_checker_as_published_folders_have_one_is_left_out_and_said(made, tmp_path):
    _, folder = made("1")
    theirs = shutil.copytree(folder, tmp_path / "theirs")
    told(theirs / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    (theirs / "safety_checker").mkdir()
    (theirs / "safety_checker" / "config.json").write_text('{"architectures": ["StableDiffusionSafetyChecker"]}')
    with pytest.warns(ReverieWarning, match="left out are safety_checker"):
        assert load_folder(theirs).shape == (4, 8, 8)


def test_a_prompt_that_is_too_long_is_cut_and_said(made):
    _, folder = made("1")
    system = load_folder(folder)
    with pytest.warns(ReverieWarning, match="left out: 'cat"):
        long = system.conditioner(system.conditioner.parse(["red " * 75 + "cat cat cat"]))["tokens"]
    short = system.conditioner(system.conditioner.parse(["red " * 75]))["tokens"]
    assert torch.equal(long, short)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "parts" / "codec" / "model.safetensors").unlink(), "is missing"),
        (lambda run: shutil.rmtree(run / "parts" / "text_encoder"), "is not here"),
        (lambda run: swap(run / "parts" / "text_encoder" / "model.safetensors"), "another text encoder"),
        (lambda run: swap(run / "parts" / "codec" / "model.safetensors"), "not the autoencoder"),
        (
            lambda run: told(run / "parts" / "text_encoder" / "config.json", auto_map={"AutoModel": "a.B"}),
            "code of its own",
        ),
        (lambda run: told(run / "parts" / "codec" / "config.json", levels=[10**9]), "no autoencoder"),
        (
            lambda run: told(run / "parts" / "text_encoder" / "config.json", hidden_size=2**16),
            "larger than its weights",
        ),
        (
            lambda run: told(run / "parts" / "text_encoder" / "config.json", num_hidden_layers=10**6),
            "larger than its weights",
        ),
        (lambda run: told(run / "parts" / "text_encoder" / "config.json", vocab_size=10**9), "larger than its weights"),
    ],
    ids=[
        "no autoencoder",
        "no encoder",
        "another encoder",
        "another autoencoder",
        "remote code",
        "a size of none",
        "too wide",
        "too deep",
        "too many words",
    ],
)
def test_a_run_whose_parts_are_gone_or_others_is_refused(spoil, says, made, tmp_path):
    _, folder = made("1")
    import_folder(folder, tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises(ReverieError, match=says):
        reverie.load(tmp_path / "run").generate(1, condition="a cat", sample_steps=2)


def swap(file):
    from safetensors.torch import load_file, save_file

    save_file({name: one + 1e-3 for name, one in load_file(file).items()}, file, {"format": "pt"})


def told(file, **changed):
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("unet", {"act_fn": "gelu"}, "act_fn=gelu"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type=timestep"),
        ("unet", {"attention_head_dim": [4]}, "attention_head_dim"),
        ("unet", {"surprise": 1}, "surprise"),
        ("unet", {"in_channels": 9}, "misshapen"),
        ("vae", {"act_fn": "relu"}, "act_fn=relu"),
        ("vae", {"latent_channels": 8}, "misshapen"),
        ("vae", {"surprise": 1}, "surprise"),
        ("scheduler", {"surprise": 1}, "surprise"),
    ],
    ids=str,
)
def test_a_setting_that_is_not_done_here_is_refused_by_name(part, change, says, made, tmp_path):
    _, folder = made("1")
    theirs = shutil.copytree(folder, tmp_path / "theirs")
    told(theirs / part / ("scheduler_config.json" if part == "scheduler" else "config.json"), **change)
    with pytest.raises(ReverieError, match=says):
        load_folder(theirs)
