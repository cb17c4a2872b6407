"""Edits by Stable Diffusion, made small with random weights: as diffusers' pipelines where those do the same, and exact."""

import diffusers
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

transformers = pytest.importorskip("transformers")

from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution  # noqa: E402
from small_diffusion import inpainting, stable_diffusion, stable_diffusion_xl  # noqa: E402

import reverie  # noqa: E402
from reverie.cli.app import app  # noqa: E402
from reverie.core.gaussians import Gaussians  # noqa: E402
from reverie.core.noise import Seeded  # noqa: E402
from reverie.editing.base import How, edit  # noqa: E402
from reverie.editing.inverting import inverted  # noqa: E402
from reverie.editing.working import Work  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import import_folder, load_folder  # noqa: E402
from reverie.samplers.heun import Heun  # noqa: E402
from reverie.systems.inpainting import Inpainting  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DDIM = {**LATENT, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
SCHEDULERS = {
    "DDIM": lambda: diffusers.DDIMScheduler(**DDIM),
    "Euler": lambda: diffusers.EulerDiscreteScheduler(**LATENT, timestep_spacing="leading", steps_offset=1),
}
IMG2IMG = {stable_diffusion: diffusers.StableDiffusionImg2ImgPipeline,
           stable_diffusion_xl: diffusers.StableDiffusionXLImg2ImgPipeline}  # fmt: skip
PROMPTS = ["a red heart", "the cat on blue"]


def picture(height=16, width=16):
    return (torch.rand(3, height, width, generator=torch.Generator().manual_seed(2)) * 256).to(torch.uint8)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    stable_diffusion(folder, SCHEDULERS["DDIM"]()).save_pretrained(folder / "theirs")
    return load_folder(folder / "theirs")


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """(pipeline of theirs, its folder) of inpainting."""
    folder = tmp_path_factory.mktemp("painter")
    pipe = inpainting(folder, SCHEDULERS["DDIM"]())
    pipe.save_pretrained(folder / "theirs")
    pipe.set_progress_bar_config(disable=True)
    return pipe, folder / "theirs"


def as_ours(monkeypatch, unit):
    """Their noise is ours, and their latents are means, as ours are."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    for one in (*IMG2IMG.values(), diffusers.StableDiffusionInpaintPipeline):
        monkeypatch.setattr(f"{one.__module__}.randn_tensor", lambda *shape, **more: unit.clone())


@torch.no_grad()
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("build", IMG2IMG)
def test_a_picture_varied_under_a_prompt_is_theirs(build, scheduler, tmp_path, monkeypatch):
    pipe = build(tmp_path, SCHEDULERS[scheduler]())
    pipe.save_pretrained(tmp_path / "theirs")
    system = load_folder(tmp_path / "theirs")
    one = IMG2IMG[build](
        **{**pipe.components, **({"requires_safety_checker": False} if build is stable_diffusion else {})}
    )
    one.set_progress_bar_config(disable=True)
    unit = Seeded.at(3, [0, 1]).draw(torch.empty(2, *system.shape))
    as_ours(monkeypatch, unit)
    image = picture()
    theirs = one(PROMPTS, image=torch.stack([image / 255.0] * 2), strength=0.5, num_inference_steps=10, guidance_scale=6.0,
                 output_type="np").images  # fmt: skip
    work = Work(system, How(seed=3, count=2, condition=PROMPTS, scale=6.0, sample_steps=10), image.shape)
    z, grid = work.encode(image), work.times(1.0)[5:]  # half of their ten steps
    ours = work.decode(work.made(lambda eps, t: work.noised(z, t, eps), grid)).float()
    assert ours.std() > 1 and (ours - torch.from_numpy(theirs).permute(0, 3, 1, 2) * 255).abs().max() < 0.51


@torch.no_grad()
def test_a_part_painted_anew_is_theirs(painter, monkeypatch):
    pipe, folder = painter
    system = load_folder(folder)
    assert isinstance(system, Inpainting) and system.network.maps == 5
    unit = Seeded.at(0, [0, 1]).draw(torch.empty(2, *system.shape))
    as_ours(monkeypatch, unit)
    image, mask = picture(), torch.zeros(1, 16, 16, dtype=torch.uint8)
    mask[:, 4:12, 2:10] = 255
    given = {"image": torch.stack([image / 255.0] * 2), "mask_image": torch.stack([mask / 255.0] * 2)}
    theirs = pipe(PROMPTS, **given, height=16, width=16, num_inference_steps=5, guidance_scale=6.0, strength=1.0,
                  output_type="np").images  # fmt: skip
    ours = edit("inpaint", system, image, mask=mask, count=2, condition=PROMPTS, scale=6.0, sample_steps=5).raw
    new = (mask > 0).expand(2, 3, -1, -1)
    gap = (ours.float() - torch.from_numpy(theirs).permute(0, 3, 1, 2) * 255).abs()[new]
    assert ours[new].float().std() > 1 and gap.max() < 0.51
    assert (ours == image)[~new].all()


def test_a_model_of_inpainting_makes_pictures_too_and_is_kept_whole(painter, tmp_path):
    _, folder = painter
    import_folder(folder, tmp_path / "run")
    system = reverie.load(tmp_path / "run")
    assert isinstance(system, Inpainting)
    both = system.generate(2, condition=PROMPTS, sample_steps=2).raw
    alone = system.generate(index=[1], condition=PROMPTS, sample_steps=2).raw
    assert both.float().std() > 1 and (alone.float() - both[1:].float()).abs().max() <= 1
    system.gaussians = Gaussians.fit([torch.randn(40, *system.shape)], [40])
    begun = system.generate(2, condition=PROMPTS, sample_steps=2, start="gaussian").raw
    assert begun.shape == both.shape and not begun.equal(both)
    with pytest.raises(ReverieError, match="leave out --method"):
        edit("inpaint", system, picture(), box="0,0,8,8", method="ddnm", condition="a cat")


@pytest.mark.parametrize("size", [(16, 16), (13, 21), (40, 24)], ids=str)
@pytest.mark.parametrize("which", ["plain", "painter"])
def test_what_a_mask_keeps_is_kept_to_the_byte_at_every_size(which, size, system, painter):
    chosen = system if which == "plain" else load_folder(painter[1])
    image, (height, width) = picture(*size), size
    mask = torch.zeros(1, *size, dtype=torch.uint8)
    mask[:, 3 : height - 4, 5 : width - 3] = 255
    made = edit("inpaint", chosen, image, mask=mask, count=2, condition="a cat", sample_steps=2).raw
    new = (mask > 0).expand(2, 3, -1, -1)
    assert made.shape == (2, 3, *size) and (made == image)[~new].all()
    assert (made.float() - image.float()).abs()[new].mean() > 5


def test_a_position_of_the_latent_is_kept_where_all_of_its_pixels_are(system):
    work, pixels = Work(system, How(), (3, 13, 21)), torch.ones(13, 21, dtype=torch.bool)
    pixels[4, 7] = pixels[6:8, 10:12] = False
    kept = torch.ones(8, 11, dtype=torch.bool)
    kept[2, 3] = kept[3, 5] = False
    kept[6:], kept[:, 10] = False, False  # where the picture ends within a position, or before it
    assert torch.equal(work.kept(pixels), kept)


def test_strength_0_returns_the_picture_and_more_strength_keeps_less(system):
    image = picture(14, 18)
    assert torch.equal(edit("vary", system, image, strength=0.0).raw[0], image)
    own = edit("vary", system, image, strength=0.03, sample_steps=2, scale=1.0).raw[0].float()
    gaps = [(edit("vary", system, image, strength=s, sample_steps=3, scale=1.0).raw[0].float() - own).square().mean()
            for s in (0.1, 0.4, 0.9)]  # fmt: skip
    assert gaps[0] < gaps[1] < gaps[2]


def test_the_way_up_and_back_ends_nearer_to_the_picture_with_more_steps(system):
    image, gaps = picture(), []
    for steps in (2, 16):
        work = Work(system, How(sample_steps=steps, scale=1.0), image.shape)
        z, grid, denoiser = work.encode(image), work.times(work.level(0.5).t), work.denoiser([0])
        back = work.walk(denoiser, inverted(Heun(), denoiser, z, grid), grid, work.noise([0])[0], Heun())
        gaps.append((back - z).square().mean().sqrt())
    assert gaps[1] < gaps[0] / 4
    said = edit("invert", system, image, sample_steps=2, strength=0.5, scale=1.0).said
    assert any("the autoencoder alone" in line for line in said)
    ends = edit("interpolate", system, image, image.flip(2), frames=3, sample_steps=2, strength=0.5, scale=1.0).raw
    assert torch.equal(ends[0], image) and torch.equal(ends[2], image.flip(2))


def test_an_enlarged_picture_keeps_its_means(system):
    image = picture(9, 16)
    large = edit("upscale", system, image, factor=2, sample_steps=2, scale=1.0).raw[0].float()
    means = large.reshape(3, 9, 2, 16, 2).mean((2, 4))
    assert large.shape == (3, 18, 32) and (means - image).abs().max() <= 1
    assert large.reshape(3, 9, 2, 16, 2).std((2, 4)).mean() > 1


@pytest.mark.parametrize(("verb", "options"), [("colorize", {}), ("restore", {"blur": 1.0})])
def test_what_goes_by_single_pixels_is_refused_in_latents(verb, options, system):
    with pytest.raises(ReverieError, match="works in the latents of an autoencoder"):
        edit(verb, system, picture(), **options)


def test_an_edit_under_a_prompt_from_the_command_line(system, painter, tmp_path, monkeypatch):
    system.save(tmp_path / "run")
    import_folder(painter[1], tmp_path / "painter")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture(20, 16).permute(1, 2, 0).numpy()).save("picture.png")
    edits = [
        ["inpaint", "painter", "--image", "picture.png", "--box", "2,2,8,8", "--prompt", "a red heart"],
        ["vary", "run", "--image", "picture.png", "--prompt", "a cat", "--negative-prompt", "blue"],
    ]
    for verb, *more in edits:
        done = CliRunner().invoke(
            app, ["edit", verb, *more, "--sample-steps", "2", "--out", verb], catch_exceptions=False
        )
        assert done.exit_code == 0 and "1 picture in" in done.output and list((tmp_path / verb).glob("0*.png")), (
            done.output
        )
    for refused, says in (
        (["run", "--label", "cat"], "--prompt"),
        (["painter", "--prompt", "cat"], "inpaint, outpaint"),
    ):
        done = CliRunner().invoke(app, ["edit", "vary", *refused, "--image", "picture.png", "--out", "no"])
        assert isinstance(done.exception, ReverieError) and says in str(done.exception)
