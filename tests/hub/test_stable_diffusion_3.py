"""Stable Diffusion 3 and 3.5, made small with random weights: part by part and from prompt to pixels, as diffusers'."""

import json

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

transformers = pytest.importorskip("transformers")

from small_diffusion import stable_diffusion_3  # noqa: E402

import reverie  # noqa: E402
from reverie.core.grids import FlowShift  # noqa: E402
from reverie.core.noise import Seeded  # noqa: E402
from reverie.core.schedules import Rectified  # noqa: E402
from reverie.editing.base import How, edit  # noqa: E402
from reverie.editing.working import Work  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import import_folder, load_folder  # noqa: E402
from reverie.nn.mmdit import MMDiT  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
VERSIONS = {
    "3": {},
    "3 without T5": {"third": False},
    "3.5": {"dual_attention_layers": (0, 1), "qk_norm": "rms_norm", "shift": 2.0},
}
PROMPTS = ["a red heart", "the cat on blue"]
STEPS = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(pipeline of theirs, its folder) of a version, each made once."""
    kept = {}

    def make(version):
        if version not in kept:
            folder = tmp_path_factory.mktemp("pipeline")
            pipe = stable_diffusion_3(folder, **VERSIONS[version])
            pipe.save_pretrained(folder / "theirs")
            pipe.set_progress_bar_config(disable=True)
            kept[version] = pipe, folder / "theirs"
        return kept[version]

    return make


@torch.no_grad()
@pytest.mark.parametrize("version", VERSIONS)
def test_from_prompt_to_pixels_it_is_theirs(version, made, monkeypatch):
    pipe, folder = made(version)
    system = load_folder(folder)
    unit = Seeded.at(0, [0, 1]).draw(torch.empty(2, *system.shape))
    latents, decode = [], type(system.codec).decode
    monkeypatch.setattr(type(system.codec), "decode", lambda self, z: latents.append(z) or decode(self, z))
    pictures = system.generate(2, condition=PROMPTS, sample_steps=STEPS, scale=4.0).raw.float()
    told = {"num_inference_steps": STEPS, "guidance_scale": 4.0, "latents": unit.clone(), "height": 16, "width": 16}
    z = pipe(PROMPTS, output_type="latent", **told).images
    z = (z / 1.5305 + 0.0609 - 0.0609) * 1.5305
    torch.testing.assert_close(latents[0], z, rtol=1e-4, atol=1e-4 * z.std().item())
    theirs = torch.from_numpy(pipe(PROMPTS, output_type="np", **told).images).permute(0, 3, 1, 2) * 255
    assert pictures.std() > 1 and (pictures - theirs).abs().max() < 0.51, "what rounding to a level does, and no more"


@torch.no_grad()
@pytest.mark.parametrize("version", VERSIONS)
def test_every_part_is_theirs(version, made):
    pipe, folder = made(version)
    system = load_folder(folder)
    x, level = torch.randn(2, 16, 8, 12), torch.tensor([3.0, 977.0])
    tokens, pooled = torch.randn(2, 9, 96), torch.randn(2, 80)
    truth = pipe.transformer(x, tokens, pooled, level).sample
    found = system.network(x, level, tokens=tokens, scalars=pooled)
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-5)
    said = system.conditioner(system.conditioner.parse(PROMPTS))
    truth, _, pooled, _ = pipe.encode_prompt(PROMPTS, None, None, do_classifier_free_guidance=False)
    torch.testing.assert_close(said["scalars"], pooled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said["tokens"], truth, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 28])
def test_the_levels_are_theirs(steps, shift):
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(steps)
    found = FlowShift(steps, shift)(Rectified())
    torch.testing.assert_close(found.float(), theirs.sigmas, rtol=1e-6, atol=1e-7)


@torch.no_grad()
def test_a_picture_varied_under_a_prompt_is_theirs(made, monkeypatch):
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    pipe, folder = made("3")
    system = load_folder(folder)
    one = diffusers.StableDiffusion3Img2ImgPipeline(**pipe.components)
    one.set_progress_bar_config(disable=True)
    unit = Seeded.at(3, [0, 1]).draw(torch.empty(2, *system.shape))
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    monkeypatch.setattr(f"{type(one).__module__}.randn_tensor", lambda *shape, **more: unit.clone())
    image = (torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(2)) * 256).to(torch.uint8)
    theirs = one(PROMPTS, image=torch.stack([image / 255.0] * 2), strength=0.6, num_inference_steps=10, guidance_scale=4.0,
                 height=16, width=16, output_type="np").images  # fmt: skip
    work = Work(system, How(seed=3, count=2, condition=PROMPTS, scale=4.0, sample_steps=10), image.shape)
    z, grid = work.encode(image), work.times(1.0)[4:]  # the last six of their ten steps
    ours = work.decode(work.made(lambda eps, t: work.noised(z, t, eps), grid)).float()
    assert ours.std() > 1 and (ours - torch.from_numpy(theirs).permute(0, 3, 1, 2) * 255).abs().max() < 0.51


def test_a_text_encoder_in_shards_is_whole_or_refused(made, tmp_path):
    import shutil

    pipe, folder = made("3")
    copied = shutil.copytree(folder, tmp_path / "theirs")
    shutil.rmtree(copied / "text_encoder_3")
    pipe.text_encoder_3.save_pretrained(copied / "text_encoder_3", max_shard_size="60KB")
    shards = sorted((copied / "text_encoder_3").glob("model-*.safetensors"))
    assert len(shards) > 1
    truth = load_folder(folder).generate(1, condition="a cat", sample_steps=2).raw
    import_folder(copied, tmp_path / "run")
    assert torch.equal(reverie.load(tmp_path / "run").generate(1, condition="a cat", sample_steps=2).raw, truth)
    other = shutil.copytree(tmp_path / "run", tmp_path / "other")
    moved = other / "parts/text_encoder_3" / shards[0].name
    save_file({name: one + 1 for name, one in load_file(moved).items()}, moved, {"format": "pt"})
    with pytest.raises(ReverieError, match="another text encoder"):
        reverie.load(other).generate(1, condition="a cat", sample_steps=1)
    shards[1].unlink()
    with pytest.raises(ReverieError, match=f"{shards[1].name}.* is missing"):
        import_folder(copied, tmp_path / "no")


def test_the_run_is_whole_alone_and_is_edited(made, tmp_path):
    _, folder = made("3.5")
    before = import_folder(folder, tmp_path / "run").generate(2, condition=PROMPTS, sample_steps=2).raw
    system = reverie.load(tmp_path / "run")
    assert isinstance(system.network, MMDiT)
    assert torch.equal(system.generate(2, condition=PROMPTS, sample_steps=2).raw, before)
    alone = system.generate(index=[1], condition=PROMPTS, sample_steps=2).raw
    assert (alone.float() - before[1:].float()).abs().max() <= 1
    image = before[0]
    made = edit("inpaint", system, image, box="4,4,8,8", condition="a cat", sample_steps=3).raw[0]
    kept = torch.ones(16, 16, dtype=torch.bool)
    kept[4:12, 4:12] = False
    assert torch.equal(made[:, kept], image[:, kept]) and not torch.equal(made, image)


@pytest.mark.parametrize(
    ("part", "change", "says"),
    [
        ("scheduler/scheduler_config.json", {"use_dynamic_shifting": True}, "use_dynamic_shifting"),
        ("scheduler/scheduler_config.json", {"shift_terminal": 0.02}, "shift_terminal"),
        ("scheduler/scheduler_config.json", {"stochastic_sampling": True}, "stochastic_sampling"),
        ("scheduler/scheduler_config.json", {"new_setting": 1}, "new_setting"),
        ("transformer/config.json", {"qk_norm": "layer_norm"}, "qk_norm"),
        ("transformer/config.json", {"caption_projection_dim": 32}, "caption_projection_dim"),
        ("transformer/config.json", {"num_layers": 2}, "transformer"),
        ("transformer/config.json", {"pooled_projection_dim": 64}, "transformer"),
    ],
    ids=str,
)
def test_what_is_not_done_here_is_refused_by_name(part, change, says, made, tmp_path):
    import shutil

    _, folder = made("3")
    copied = shutil.copytree(folder, tmp_path / "theirs")
    path = copied / part
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ReverieError, match=says):
        import_folder(copied, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_shift_is_noticed_and_a_tensor_that_is_missing_too(made, tmp_path):
    import shutil

    _, folder = made("3")
    copied = shutil.copytree(folder, tmp_path / "theirs")
    path = copied / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"shift": 1.0}))
    one, other = (load_folder(place).generate(1, condition="a cat", sample_steps=2).raw for place in (folder, copied))
    assert not torch.equal(one, other)
    weights = next((copied / "transformer").glob("*.safetensors"))
    tensors = load_file(weights)
    tensors.pop("transformer_blocks.1.attn.add_q_proj.weight")
    save_file(tensors, weights)
    with pytest.raises(ReverieError, match="add_q_proj"):
        load_folder(copied)
