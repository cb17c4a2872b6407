"""The upscaler of Stable Diffusion: as diffusers' pipeline, told the same noise; and from the command line."""

import diffusers
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

transformers = pytest.importorskip("transformers")

from small_diffusion import upscaler  # noqa: E402

import reverie  # noqa: E402
from reverie.cli.app import app  # noqa: E402
from reverie.codecs.pixels import Pixels  # noqa: E402
from reverie.core.denoisers import Beside  # noqa: E402
from reverie.core.noise import Seeded  # noqa: E402
from reverie.editing.base import How, edit  # noqa: E402
from reverie.editing.working import Work  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import import_folder, load_folder  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
DDIM = {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.02, "clip_sample": False,
        "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "v_prediction"}  # fmt: skip
PROMPT = "the cat on blue"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upscaler")
    pipe = upscaler(folder, diffusers.DDIMScheduler(**DDIM))
    pipe.save_pretrained(folder / "theirs")
    pipe.set_progress_bar_config(disable=True)
    import_folder(folder / "theirs", folder / "run")
    return pipe, folder


def picture(height=8, width=8):
    return (torch.rand(3, height, width, generator=torch.Generator().manual_seed(2)) * 256).to(torch.uint8)


@torch.no_grad()
@pytest.mark.parametrize("level", [20, 137])
def test_what_it_paints_is_theirs(made, level, monkeypatch):
    pipe, folder = made
    system = load_folder(folder / "theirs")
    if level != 20:
        system = system.noisy(127.5 * system.spread(level) * 0.9999)
    assert system.conditioner.level == level
    small = picture()
    y = Pixels().encode(small[None])
    work = Work(system, How(seed=3, condition=PROMPT, scale=4.0, sample_steps=5), (32, 32))
    maps = system.noised(y, 3)
    found = work.decode(work.made(system.start, work.times(1.0), lambda one: Beside(one, maps))).float()
    drawn = [Seeded.at(3, [0], "picture").draw(y), Seeded.at(3, [0]).draw(torch.empty(1, *system.shape))]
    monkeypatch.setattr(f"{type(pipe).__module__}.randn_tensor", lambda *shape, **more: drawn.pop(0))
    theirs = pipe(PROMPT, image=small[None] / 127.5 - 1, num_inference_steps=5, guidance_scale=4.0, noise_level=level,
                  output_type="np").images  # fmt: skip
    theirs = torch.from_numpy(theirs).permute(0, 3, 1, 2) * 255
    assert not drawn and found.std() > 1
    assert (found - theirs).abs().max() < 0.51, "what rounding to a level does, and no more"


def test_the_run_enlarges_alone_and_keeps_the_means(made, tmp_path):
    _, folder = made
    small = picture(10, 13)  # tiles
    array = small.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "small.png")
    told = ["--image", tmp_path / "small.png", "--prompt", PROMPT, "--sample-steps", 2, "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, ["edit", "upscale", str(folder / "run"), *map(str, told)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "level 20 of noise" in done.output
    large = reverie.modalities.images.Images().decode(next((tmp_path / "out").glob("0*.png")))[0]
    assert large.shape == (3, 40, 52)
    means = torch.nn.functional.avg_pool2d(large.float(), 4)
    assert (means - small.float()).abs().max() < 3  # clamping to levels takes some of it back
    assert (means - small.float()).abs().mean() < 0.5
    again = edit("upscale", reverie.load(folder / "run"), small, condition=PROMPT, sample_steps=2).raw[0]
    assert torch.equal(again, large)
    other = edit("upscale", reverie.load(folder / "run"), small, condition="a red heart", sample_steps=2).raw[0]
    assert not torch.equal(other, large)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"factor": 2}, "enlarges 4 times"),
        ({"noise": 200.0}, "has seen noise of up to"),
        ({"noise": 300.0}, "deviation from 0 to 255"),
        ({"method": "ddnm"}, "in no other way"),
        ({"condition": None}, "say --prompt"),
    ],
)
def test_what_it_cannot_do_is_refused(made, options, says):
    told = {"condition": PROMPT, "sample_steps": 2, **options}
    with pytest.raises(ReverieError, match=says):
        edit("upscale", reverie.load(made[1] / "run"), picture(), **told)
    with pytest.raises(ReverieError, match="reverie edit upscale"):
        reverie.load(made[1] / "run").generate(1)
    with pytest.raises(ReverieError, match="reverie edit upscale"):
        edit("vary", reverie.load(made[1] / "run"), picture(), condition=PROMPT)


def test_a_description_without_its_noise_is_refused(made, tmp_path):
    import json
    import shutil

    run = shutil.copytree(made[1] / "run", tmp_path / "run")
    told = json.loads((run / "model.json").read_text())
    for change in ({"most": 10**6}, {"most": None}, {"noising": None}, {"noising": {"name": "Cosine", "x": 1}}):
        (run / "model.json").write_text(json.dumps(told | change))
        with pytest.raises(ReverieError):
            reverie.load(run)
