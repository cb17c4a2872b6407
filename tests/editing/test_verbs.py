"""What each verb promises of its result."""

import io
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from reverie.core.grids import Uniform
from reverie.core.noise import Seeded
from reverie.core.oracles.normal import Normal
from reverie.core.schedules import Cosine
from reverie.data import builtin
from reverie.editing import levels, masks
from reverie.editing.inverting import inverted
from reverie.editing.pictures import levels_of
from reverie.errors import ReverieError, ReverieWarning
from reverie.samplers.ddim import DDIM
from reverie.samplers.euler import Euler
from reverie.samplers.heun import Heun
from reverie.samplers.rk4 import RK4
from reverie.systems.records import Record, records
from reverie.systems.replaying import replay


@pytest.fixture(scope="module")
def digits():
    return reverie.load("digits")


@pytest.fixture(scope="module")
def pictures():
    """uint8 (1, 8, 8), held out: a 0 to a 9."""
    test = builtin.load("digits").test
    return [test.raw[int((test.values["label"] == k).nonzero()[0])] for k in range(10)]


def half():
    """A mask: the right half is white."""
    mask = np.zeros((8, 8), dtype=np.uint8)
    mask[:, 4:] = 255
    return mask


def asked(system, verb):
    """How often the network was called by `verb`, and what it gave."""
    counts = []
    hook = system.network.register_forward_pre_hook(lambda module, given: counts.append(len(given[0])))
    try:
        return len(counts), verb(), counts
    finally:
        hook.remove()


QUICK = {"sample_steps": 4}


@pytest.mark.parametrize("method", ["ddnm", "mmps", "dps", "repaint", "replacement", "diffpir", "ddrm", "daps"])
def test_kept_pixels_are_the_picture_s_own_bytes(digits, pictures, method):
    made = digits.inpaint(pictures[3], mask=half(), method=method, count=3, condition="3", **QUICK).raw
    assert made.shape == (3, 1, 8, 8) and made.dtype == torch.uint8
    assert made[..., :4].equal(pictures[3][None, :, :, :4].expand(3, 1, 8, 4))
    assert not made[0, ..., 4:].equal(made[1, ..., 4:])


def test_white_is_painted_anew_and_the_preview_shows_it(digits, pictures):
    one = digits.inpaint(pictures[3], mask=half(), **QUICK)
    other = digits.inpaint(pictures[3], mask=255 - half(), invert_mask=True, **QUICK)
    assert one.raw.equal(other.raw) and any("white is painted anew: 50 %" in line for line in one.said)
    shown = np.asarray(Image.open(io.BytesIO(one.files["preview.png"]))).astype(int)
    magenta = np.abs(shown[..., 0] - shown[..., 1]) > 50
    assert magenta[:, 4:].all() and not magenta[:, :4].any()
    assert digits.inpaint(pictures[3], box="4,0,4,8", **QUICK).raw.equal(one.raw)
    turned = digits.inpaint(pictures[3], mask=half(), invert_mask=True, **QUICK).raw
    assert turned[..., 4:].equal(pictures[3][None, :, :, 4:]) and not turned[..., :4].equal(pictures[3][None, :, :, :4])


def test_a_feather_reaches_as_far_as_it_says_and_only_inside(digits, pictures):
    sharp = digits.inpaint(pictures[3], mask=half(), **QUICK).raw
    soft = digits.inpaint(pictures[3], mask=half(), feather=2, **QUICK).raw
    assert soft[..., :4].equal(sharp[..., :4]) and soft[..., 6:].equal(sharp[..., 6:])
    weight = masks.feathered(torch.tensor(half()) > 0, 2)
    assert weight[0].tolist() == pytest.approx([0, 0, 0, 0, 1 / 3, 2 / 3, 1, 1])
    mixed = pictures[3] + weight * (sharp[0].float() - pictures[3])
    assert (soft[0] - mixed).abs().max() <= 0.5


@pytest.mark.parametrize(
    ("mask", "told"),
    [(np.zeros((8, 8), np.uint8), "no white pixel"), (np.full((8, 8), 255, np.uint8), "white everywhere"),
     (np.full((8, 8), 140, np.uint8), "64 pixels of the mask are grey")],
    ids=["empty", "full", "grey"],
)  # fmt: skip
def test_masks_that_are_probably_wrong_are_warned_of(digits, pictures, mask, told):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = digits.inpaint(pictures[3], mask=mask, **QUICK)
    assert any(issubclass(one.category, ReverieWarning) and told in str(one.message) for one in caught)
    if not mask.any():
        assert made.raw[0].equal(pictures[3])


@pytest.mark.parametrize("verb", ["vary", "inpaint", "upscale", "blend", "invert", "interpolate"])
def test_strength_0_returns_what_it_was_given(digits, pictures, verb):
    options = {"inpaint": {"mask": half()}, "upscale": {"factor": 2}, "interpolate": {"frames": 2}}.get(verb, {})
    given = pictures[3:5] if verb in ("blend", "interpolate") else pictures[3:4]
    calls, done, _ = asked(digits, lambda: getattr(digits, verb)(*given, strength=0.0, **options))
    truth = {"upscale": pictures[3].repeat_interleave(2, 1).repeat_interleave(2, 2)}.get(verb, pictures[3])
    if verb == "blend":
        truth = ((pictures[3].float() + pictures[4]) / 2).round().to(torch.uint8)
    assert done.raw[0].equal(truth) and calls == 0
    if verb == "interpolate":
        assert done.raw[1].equal(pictures[4])


@pytest.mark.parametrize("strength", [0.2, 0.7, 1.0])
def test_steps_are_as_many_as_asked_for_whatever_the_strength(digits, pictures, strength):
    _, done, counts = asked(digits, lambda: digits.vary(
        pictures[3], strength=strength, sample_steps=7, sampler=DDIM(), scale=1.0, condition="3"))  # fmt: skip
    assert len(counts) == 7 and "7 steps from there" in done.said


def test_strength_is_continuous_and_its_level_is_said(digits, pictures):
    made = {s: digits.vary(pictures[3], strength=s, sampler=DDIM(), **QUICK) for s in (0.5, 0.500001, 0.9)}
    near, far = (made[0.5].raw.int() - made[s].raw.int() for s in (0.500001, 0.9))
    assert near.abs().max() <= 1 < far.abs().max()
    level = levels.level(digits.denoiser.schedule, 0.5, digits.codec.std)
    assert f"t = {level.t:.4g}" in made[0.5].said[0] and level.ratio == pytest.approx(digits.codec.std)
    grid = digits.grid(None, 6)
    for top in torch.linspace(0.05, 1, 40, dtype=torch.float64).tolist():
        here, beside = (levels.times(grid, Cosine(), top - d) for d in (0, 1e-7))
        assert len(here) == 7 and here[0] == top and (here.diff() < 0).all() and (here - beside).abs().max() < 1e-5
    assert levels.times(grid, Cosine(), 1.0).equal(grid(Cosine()))


def test_stronger_is_further_from_the_picture(digits, pictures):
    gaps = [(digits.vary(pictures[3], strength=s, count=8, condition="3", **QUICK).raw.float() - pictures[3]).std()
            for s in (0.1, 0.4, 0.9)]  # fmt: skip
    assert gaps[0] < gaps[1] < gaps[2]


def test_a_version_is_the_same_whatever_is_made_with_it(digits, pictures):
    """To one level: batches of other sizes round otherwise."""
    whole = digits.vary(pictures[3], count=5, dtype="float32", **QUICK).raw
    parts = digits.vary(pictures[3], count=5, batch=2, dtype="float32", **QUICK).raw
    alone = digits.vary(pictures[3], dtype="float32", **QUICK).raw
    assert (whole.int() - parts.int()).abs().max() <= 1 and (whole[0].int() - alone[0].int()).abs().max() <= 1
    assert digits.vary(pictures[3], count=5, **QUICK).raw.equal(digits.vary(pictures[3], count=5, **QUICK).raw)


def test_a_canvas_goes_on_and_its_middle_is_the_picture(digits, pictures):
    made = digits.outpaint(pictures[3], left=3, bottom=5, count=2, **QUICK).raw
    assert made.shape == (2, 1, 13, 11) and made[:, :, :8, 3:].equal(pictures[3].expand(2, 1, 8, 8))


@pytest.mark.parametrize("method", ["ddnm", "mmps", "diffpir"])
@pytest.mark.parametrize("factor", [2, 4])
def test_what_is_upscaled_has_the_colours_it_had(digits, pictures, method, factor):
    """Block means are the picture's levels, but for rounding to bytes and for blocks at the ends of the range."""
    small = pictures[3][:, ::2, ::2] if factor == 2 else pictures[3]
    made = digits.upscale(small, factor=factor, method=method, count=2, **QUICK).raw
    assert made.shape == (2, 1, factor * small.shape[1], factor * small.shape[2])
    means = torch.nn.functional.avg_pool2d(made.float(), factor)
    assert (means - small).abs().max() <= 1.0 and abs(made.float().mean() - small.float().mean()) <= 0.5
    assert abs(made.float().std() / small.float().std() - 1) < 0.5 and not made[0].equal(made[1])


def test_noise_and_blur_are_undone(digits, pictures):
    """The root mean square error falls: to three quarters for noise, by a fifth for a blur."""
    clean = torch.stack(pictures).float()
    draw = torch.Generator().manual_seed(0)
    noisy = (clean + 40 * torch.randn(clean.shape, generator=draw)).round().clamp(0, 255).to(torch.uint8)
    found = torch.cat([digits.restore(one, noise=40.0, condition=str(k)).raw for k, one in enumerate(noisy)])
    error = lambda x: (x.float() - clean).square().mean().sqrt()
    assert error(found) < 0.75 * error(noisy)
    from reverie.posterior.operators.blur import GaussianBlur

    blurred = GaussianBlur(1.0)(clean / 127.5 - 1)
    blurred = ((blurred + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    found = torch.cat([digits.restore(one, blur=1.0, condition=str(k)).raw for k, one in enumerate(blurred)])
    assert error(found) < 0.8 * error(blurred)
    few = ((clean / 255 * 3).round() / 3 * 255).round().to(torch.uint8)
    found = digits.restore(few[3], levels=4, condition="3").raw[0]
    assert ((found.float() / 255 * 3).round() * 85 - few[3].float()).abs().max() <= 1  # it rounds to what was given


def test_noise_alone_is_walked_down_from_its_own_level(digits, pictures):
    """The first x_t is alpha_t y at the time when sigma_t / alpha_t is the deviation that was told, and no noise is added."""
    seen = []
    hook = digits.network.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    try:
        digits.restore(
            pictures[3], noise=51.0, sampler=DDIM(), scale=1.0, condition="3", sample_steps=3, dtype="float32"
        )
    finally:
        hook.remove()
    schedule, parameterization = digits.denoiser.schedule, digits.denoiser.parameterization
    t = schedule.time(torch.tensor(-2 * np.log(0.4)))
    alpha, sigma = (one.float() for one in schedule(t))
    assert (sigma / alpha).item() == pytest.approx(0.4, rel=1e-4)
    c_in = parameterization(alpha, sigma)[0].item()
    y = digits.codec.encode(pictures[3][None])
    ratio = seen[0] / (alpha * y)
    assert ratio.std() < 1e-4 * ratio.mean() and ratio.mean().item() == pytest.approx(c_in, rel=1e-3)


def test_the_flow_walked_up_is_the_exact_one_and_back_of_the_sampler_s_order():
    """Of a Gaussian: x_t = alpha_t m + U (v_t / l)^1/2 U^T (x - m). The first step, from t = 0, is in the way of any order
    above 2 unless it is right; of a fourth order, twice the steps leave a sixteenth: 1/10 at most.
    """
    spread = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
    oracle, schedule = Normal(Cosine(), torch.tensor([0.3, -0.2]), spread), Cosine()
    x = torch.tensor([[0.9, -0.5], [-0.4, 0.6]], dtype=torch.float64)
    variances, axes = torch.linalg.eigh(spread)
    alpha, sigma = schedule(1.0)
    stretch = ((alpha**2 * variances + sigma**2) / variances).sqrt()
    truth = alpha * oracle.mean + ((x - oracle.mean) @ axes * stretch) @ axes.T
    there, back = [], []
    for steps in (16, 32, 64):
        grid = Uniform(steps)(schedule)
        x_1 = inverted(RK4(), oracle, x, grid)
        there.append((x_1 - truth).abs().max().item())
        back.append((RK4()(oracle, x_1, grid, Seeded([0, 1])) - x).abs().max().item())
    assert there[0] < 0.01 and back[0] < 0.01
    for errors in (there, back):
        assert errors[1] < errors[0] / 10 and errors[2] < errors[1] / 10


def test_a_picture_is_the_same_however_it_is_given(digits, pictures, tmp_path):
    array = pictures[3][0].numpy()
    Image.fromarray(array).save(tmp_path / "picture.png")
    colour = np.stack([array, 255 - array, array.T], axis=2)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    for form in (pictures[3], array, Image.fromarray(array), tmp_path / "picture.png", str(tmp_path / "picture.png")):
        assert levels_of(form)[0].equal(pictures[3])
    for form in (colour, torch.from_numpy(colour).permute(2, 0, 1), Image.fromarray(colour), tmp_path / "colour.png"):
        assert levels_of(form)[0].permute(1, 2, 0).equal(torch.from_numpy(colour))
    grey = digits.vary(colour, strength=0.0, grey=True).raw[0, 0].numpy()
    assert (grey == (np.array([299, 587, 114]) @ colour.reshape(-1, 3).T.astype(int) + 500).reshape(8, 8) // 1000).all()


def test_the_way_between_two_pictures_begins_and_ends_with_them(digits, pictures):
    made = digits.interpolate(pictures[3], pictures[8], frames=5, **QUICK).raw
    assert made.shape == (5, 1, 8, 8) and made[0].equal(pictures[3]) and made[4].equal(pictures[8])
    fade = torch.stack([pictures[3].float().lerp(pictures[8].float(), i / 4) for i in range(5)])
    assert (made[1:4].float() - fade[1:4]).abs().max() > 40


def test_a_picture_comes_back_the_nearer_the_more_steps_and_the_higher_the_order(digits, pictures):
    def errors(sampler, steps):
        done = digits.invert(*pictures[:4], sampler=sampler, sample_steps=steps, condition=[str(k) for k in range(4)],
                             scale=1.0, dtype="float32")  # fmt: skip
        noise = np.load(io.BytesIO(done.files["noise.npy"]))
        assert noise.shape == (4, 1, 8, 8) and (0.5 if steps < 32 else 0.7) < noise.std() < 1.3
        gaps = (done.raw.double() - torch.stack(pictures[:4])).square().flatten(1).mean(1).sqrt()
        assert done.info["error"] == pytest.approx(gaps.tolist(), abs=1e-4)
        return gaps.mean().item()

    first = [errors(Euler(), steps) for steps in (8, 32, 128)]
    assert first[0] > first[1] > first[2] and first[2] < 0.35 * first[0]
    assert errors(Heun(), 32) < 0.5 * first[1] and errors(RK4(), 32) < 0.5 * first[1]


def test_two_conditions_blended_replay(digits):
    done = digits.blend(condition=["3", "8"], weight=0.25, count=2, **QUICK)
    record = Record.read(json.loads(json.dumps(records(digits, "digits", done.samples[0])[1])))
    assert replay(digits.modality.stored(done.raw[1]), record, digits).matches
    ends = [digits.blend(condition=["3", "8"], weight=w, dtype="float32", **QUICK).raw.int() for w in (0.0, 1.0)]
    for end, label in zip(ends, "38"):
        alone = digits.generate(1, condition=[label], scale=digits.defaults.scale, dtype="float32", **QUICK).raw
        assert (end - alone.int()).abs().max() <= 1


def test_two_pictures_become_one(digits, pictures):
    made = digits.blend(pictures[3], pictures[8], mask=half(), strength=0.3, **QUICK)
    joined = torch.where(torch.tensor(half()) > 0, pictures[8], pictures[3])
    other = digits.vary(joined, strength=0.3, **QUICK)
    assert made.raw.equal(other.raw) and "preview.png" in made.files


def test_a_moving_picture_shows_every_step_and_ends_with_the_samples(digits, pictures):
    done = digits.animate(count=3, condition=["1", "2", "3"], **QUICK)
    moving = Image.open(io.BytesIO(done.files["animation.gif"]))
    assert moving.n_frames == 5 and moving.info["loop"] == 0
    plain = digits.generate(3, condition=["1", "2", "3"], **QUICK)
    assert done.raw.equal(plain.raw)
    record = Record.read(json.loads(json.dumps(records(digits, "digits", done.samples[0])[2])))
    assert replay(digits.modality.stored(done.raw[2]), record, digits).matches
    varied = digits.animate(pictures[3], strength=0.4, show="state", **QUICK)
    assert varied.raw.equal(digits.vary(pictures[3], strength=0.4, **QUICK).raw)


def test_an_edit_cannot_be_replayed_and_says_why(digits, pictures):
    with pytest.raises(ReverieError, match="the same `reverie edit` on it makes the same bytes"):
        Record.read({"format": 1, "made": "edit"})


def test_verbs_are_those_of_the_package_and_say_what_they_take(digits):
    from reverie.systems.base import System

    names = {
        "animate",
        "blend",
        "colorize",
        "inpaint",
        "interpolate",
        "invert",
        "outpaint",
        "restore",
        "upscale",
        "vary",
    }
    assert set(System.verbs) == names
    for name in names:
        verb = System.verbs[name]
        assert verb.__doc__ and "seed" in verb.__signature__.parameters
    with pytest.raises(AttributeError, match="no attribute 'paint'"):
        digits.paint  # noqa: B018


def test_colours_are_given_and_brightness_stays():
    """By a model of colour pictures that has learned nothing, and so is the exact one of N(0, std)."""
    from reverie.data import Dataset
    from reverie.editing.pictures import brightness
    from reverie.recipes.folder import Folder

    raw = torch.randint(0, 256, (16, 3, 16, 16), dtype=torch.uint8)
    recipe = Folder(
        samples=32, dtype="float32", network="unet(levels=(8, 8), blocks=1, attention=(False, False), groups=4)"
    )
    system = recipe.system(Dataset("some", raw))
    grey = (torch.rand(1, 20, 33) * 120 + 60).to(torch.uint8)
    made = system.colorize(grey, count=2, sample_steps=6)
    assert made.raw.shape == (2, 3, 20, 33)
    assert (made.raw[0].float() - made.raw[0].float().mean(0)).abs().mean() > 5, "in colour"
    for one in made.raw:
        assert (brightness(one).int() - grey.int()).abs().max() <= 1, "half a level, and half of rounding's"
