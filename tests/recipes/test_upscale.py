"""Enlarging is learned from pairs that are made of a folder's own pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
from reverie.cli import main
from reverie.codecs.detail import Detail, enlarged
from reverie.core.noise import Seeded
from reverie.data.degradations import blurred, compressed, levels, shrunk
from reverie.data.patches import load_patches
from reverie.editing.upscale import Upscale as Verb
from reverie.errors import ReverieError
from reverie.recipes.pairs import Pairs
from reverie.recipes.upscale import Upscale, detailed
from reverie.samplers.dpmpp_2m import DPMpp2M

CODEC = Detail((2, 4, 8), (0.1, 0.2, 0.3), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))


def picture(path, height, width, seed=0, mode="RGB"):
    """Waves and an edge, as large as asked."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 80 * np.sin(0.05 * (k + 1 + seed) * x + 0.07 * y) + 30 * (x > width / 2) for k in range(3)]
    Image.fromarray(np.stack(waves, 2).clip(0, 255).astype(np.uint8)).convert(mode).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i, (height, width) in enumerate([(120, 200), (100, 100), (64, 150), (20, 90)]):
        picture(folder / f"{i}.png", height, width, i)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    recipe = Upscale(data=str(folder), samples=64, size=32, batch=16, dtype="float32", compile="off", held_out=1, checkpoints=1,
                     snapshots=1, network="unet(levels=(16, 16), blocks=1, attention=(False, False), groups=8)")  # fmt: skip
    return recipe.run(tmp_path_factory.mktemp("run") / "out")


def test_patches_are_the_parts_of_pictures_and_whole_pictures_are_held_out(folder):
    data = load_patches(folder, 48, held_out=1)
    assert (len(data), len(data.test)) == (2 * 4 + 2 * 2, 3) and data.shape == (3, 48, 48)
    whole = torch.from_numpy(np.array(Image.open(folder / "0.png"))).permute(2, 0, 1)
    assert torch.equal(data.raw[5], whole[:, 48:96, 48:96])
    assert {one.name: one.reason for one in data.report.skipped} == {
        "3.png": "smaller than 48 x 48", "notes.txt": "not a picture"}  # fmt: skip
    half = load_patches(folder, 48, shrink="2")
    blocks = whole[:, :96, :192].float().reshape(3, 48, 2, 96, 2).mean((2, 4))
    assert (half.raw[0].float() - blocks[:, :, :48]).abs().max() <= 0.5
    assert half.report.used == 2, "the third is smaller than a patch once it is half as large"
    both = load_patches(folder, 48, held_out=1, shrink="1,2")
    assert torch.equal(both.raw, torch.cat([data.raw[:8], half.raw[:2], data.raw[8:], half.raw[2:]]))
    assert torch.equal(both.test.raw, data.test.raw), "the one held out is too small at half its size alone"


def test_grey_pictures_stay_grey_beside_colour_they_have_equal_channels(tmp_path):
    picture(tmp_path / "a.png", 60, 60, mode="L")
    assert load_patches(tmp_path, 48).shape == (1, 48, 48)
    picture(tmp_path / "b.png", 60, 60)
    raw = load_patches(tmp_path, 48).raw
    assert raw.shape == (2, 3, 48, 48) and torch.equal(raw[0, 0], raw[0, 2]) and not torch.equal(raw[1, 0], raw[1, 2])


@pytest.mark.parametrize("held_out", [3, -1])
def test_what_cannot_be_held_out_is_refused(folder, held_out):
    with pytest.raises(ReverieError, match="3 usable pictures: hold out fewer"):
        load_patches(folder, 48, held_out=held_out)


def test_a_folder_without_a_picture_large_enough_is_refused(folder):
    with pytest.raises(ReverieError, match=r"no usable picture.*smaller than 512 x 512"):
        load_patches(folder, 512)


def test_pairs_are_a_function_of_the_sample_and_detail_is_what_enlarging_left_out():
    x = levels(torch.rand(8, 3, 96, 96) * 2 - 1)
    z, made = Pairs(CODEC, 64)(x, Seeded.at(3, range(8)))
    assert z.shape == (8, 3, 64, 64) and made["maps"].shape == (8, 6, 64, 64)
    for i in range(8):
        alone, same = Pairs(CODEC, 64)(x[i : i + 1], Seeded.at(3, [i]))
        assert torch.equal(alone[0], z[i]) and torch.equal(same["maps"][0], made["maps"][i])
        factor = int(made["scalars"][i, 0])
        edge = 3 * factor  # what is beyond the cut is not known here, and the contrast there is of it too
        back = CODEC.picture(z[i : i + 1], made["maps"][i : i + 1, :3], factor)[0, :, edge:-edge, edge:-edge]
        assert (levels(back) - back).abs().max() < 1e-5, "m + s z is a picture of whole levels"
        turns = [t.rot90(k, (-2, -1)) for t in (x[i], x[i].flip(-1)) for k in range(4)]
        side = back.shape[-1]
        places = [(r, c) for r in range(97 - side) for c in range(97 - side)]
        assert any((t[:, r : r + side, c : c + side] - back).abs().max() < 1e-5 for t in turns for r, c in places
                   if (t[:, r, c] - back[:, 0, 0]).abs().max() < 1e-5), "cut out of the sample, mirrored or turned"  # fmt: skip


def test_all_factors_and_noise_up_to_the_most_come_and_half_have_none():
    scalars = Pairs(CODEC, 16, noise=20.0)(torch.zeros(400, 1, 24, 24), Seeded.at(0, range(400)))[1]["scalars"]
    factors, noise = scalars.T
    assert all(90 < (factors == f).sum() < 180 for f in CODEC.factors)  # of 400, 133 are meant: 4.6 deviations
    assert noise.max() < 20 and noise.min() == 0 and 150 < (noise == 0).sum() < 250


def test_noise_that_is_told_is_the_noise_there_is():
    """A flat picture twice smaller has noise alone; the deviation of 48 x 48 levels is known to 1.5 %, rounding adds 1/12."""
    flat = Pairs(Detail((2,), (1.0,), (1.0,), (0.0,)), 96, noise=20.0)
    z, made = flat(torch.zeros(40, 1, 96, 96), Seeded.at(1, range(40)))
    m = made["maps"][:, :1]
    for one, (_, level) in zip(m, made["scalars"]):
        if level > 2:
            small = shrunk(one[None], 2)  # of what cubic enlarging made of it
            assert 0.6 < small.std() * 127.5 / level < 1.05
        if level == 0:
            assert one.abs().max() < 0.01
    torch.testing.assert_close(z, -m, rtol=0, atol=1e-6)


def test_kinds_of_shrinking_keep_the_mean_and_blur_spreads():
    x = torch.rand(1, 2, 64, 64) * 2 - 1
    for kind in ("area", "cubic", "blurred"):
        assert (shrunk(x, 4, kind).mean() - x.mean()).abs() < 0.02 and shrunk(x, 4, kind).shape == (1, 2, 16, 16)
    torch.testing.assert_close(shrunk(x, 4), x.reshape(1, 2, 16, 4, 16, 4).mean((3, 5)))
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    spread, where = blurred(point, 3.0)[0, 0], torch.arange(41.0) - 20
    assert spread.sum() == pytest.approx(1, abs=1e-5) and (spread.sum(0) * where**2).sum().sqrt() == pytest.approx(
        3, rel=0.03
    )
    some = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    assert 0 < (compressed(some, 40) - some).abs().max() < 0.2


def test_a_network_of_zeros_draws_detail_of_unit_spread(run):
    """F = 0 under karras at std 1 is the exact denoiser of N(0, 1): what it adds has the spread that was measured."""
    system = reverie.load(run)
    for parameter in system.network.parameters():
        parameter.data.zero_()
    system.codec = replace(system.codec, spreads=(0.15,) * 3, floors=(0.15,) * 3)
    small = torch.full((3, 16, 24), 128, dtype=torch.uint8)
    made = system.upscale(small, factor=2, noise=1e-6, count=4, sample_steps=20, sampler=DPMpp2M()).raw.float()
    spread = 0.15 * 127.5
    assert made.shape == (4, 3, 32, 48)
    added = (made - 128) / spread
    assert abs(added[..., :32, :8].std().item() - 1) < 0.08, (
        "outside of what tiles share; 3072 numbers, rounded to levels"
    )
    assert added.mean().abs() < 0.06


def test_the_mean_of_blocks_is_the_pixel_and_versions_differ(run):
    system, small = reverie.load(run), torch.randint(60, 200, (3, 20, 31), dtype=torch.uint8)
    made = system.upscale(small, factor=4, count=2, sample_steps=3, seed=5)
    assert made.raw.shape == (2, 3, 80, 124) and not torch.equal(made.raw[0], made.raw[1])
    means = made.raw.float().reshape(2, 3, 20, 4, 31, 4).mean((3, 5))
    assert (means - small).abs().max() <= 1.0, "half a level, and half of rounding's"
    again = system.upscale(small, factor=4, count=1, sample_steps=3, seed=5)
    assert (again.raw[0].int() - made.raw[0].int()).abs().max() <= 1
    exact = system.upscale(small, factor=4, strength=0.0).raw[0].float()
    start = Detail().decode(enlarged(Detail().encode(small[None]), 4))[0].float()
    assert (exact - start).abs().mean() < 10 and (exact.reshape(3, 20, 4, 31, 4).mean((2, 4)) - small).abs().max() <= 1


def test_enlarge_of_a_batch_is_what_the_verb_makes_of_a_tile(run):
    system, small = reverie.load(run), torch.randint(60, 200, (3, 8, 8), dtype=torch.uint8)
    plain = system.enlarge(small[None].expand(2, -1, -1, -1), 4, seed=2, sample_steps=4)
    verb = system.upscale(small, factor=4, count=2, seed=2, sample_steps=4, noise=1e-9).raw
    assert (plain.int() - verb.int()).abs().max() <= 1


def test_the_command_enlarges_and_a_preview_was_made(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "small.png", 12, 20)
    with pytest.raises(SystemExit) as end:
        main(
            [
                "edit",
                "upscale",
                str(run),
                "--image",
                "small.png",
                "--factor",
                "8",
                "--sample-steps",
                "2",
                "--out",
                "made",
            ]
        )
    assert end.value.code == 0
    with Image.open(tmp_path / "made" / "00000.png") as made:
        assert made.size == (160, 96)
    with Image.open(next((run / "samples").glob("*-ema.png"))) as preview:
        assert preview.width / preview.height == pytest.approx(10 / 3, rel=0.05), "interpolated, made, true"


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda s, y: s.generate(2), "enlarges pictures and knows nothing else"),
        (lambda s, y: s.vary(y), "enlarges pictures and knows nothing else"),
        (lambda s, y: s.upscale(y, factor=3), "2, 4, 8 times, not 3"),
        (lambda s, y: s.upscale(y, factor=4, method="ddnm"), "leave out --method"),
        (lambda s, y: s.upscale(y, factor=4, noise=-1.0), "deviation from 0 to 255"),
        (lambda s, y: s.upscale(y, factor=4, condition="cat"), "no classes"),
        (lambda s, y: s.upscale(y, factor=2.5), "whole number"),
        (lambda s, y: s.upscale(y, factor=4, scale=3.0), "never saw none"),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_line(run, ask, says):
    with pytest.raises(ReverieError, match=says):
        ask(reverie.load(run), torch.zeros(3, 8, 8, dtype=torch.uint8))


def test_noise_of_a_picture_is_for_a_model_of_enlarging():
    with pytest.raises(ReverieError, match="reverie train upscale"):
        Verb(noise=3.0)(reverie.load("digits"), [torch.zeros(2, 2, dtype=torch.uint8)])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"factors": "2,x"}, "such as '2,4,8'"),
        ({"factors": "2,2"}, "such as '2,4,8'"),
        ({"factors": "1"}, "such as '2,4,8'"),
        ({"size": 60}, "multiple of the largest factor"),
        ({"noise": 200.0}, "0 to 128"),
        ({"shrink": "0"}, "1 to 64"),
        ({"shrink": "2,2"}, "1 to 64"),
        ({"shrink": "2,half"}, "1 to 64"),
        ({"flat": 1.0}, "share below 1"),
        ({"augment": 0.1}, "leave out --augment"),
        ({"data": "nowhere"}, "not a folder"),
    ],
)
def test_options_that_cannot_be_are_refused_before_a_run_is_begun(folder, tmp_path, options, says):
    with pytest.raises(ReverieError, match=says):
        Upscale(**{"data": str(folder), **options}).run(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_patches_with_the_least_detail_are_left_out(folder):
    smooth = torch.full((4, 3, 16, 16), 90, dtype=torch.uint8)
    rough = torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8)
    mixed = torch.cat([smooth[:2], rough, smooth[2:]])
    assert detailed(mixed, 4, 0.4).tolist() == [2, 3, 4, 5, 6, 7]
    assert detailed(mixed, 4, 0.0).tolist() == list(range(10))
    recipe = Upscale(data=str(folder), size=32, held_out=1, flat=0.25)
    whole, part = Upscale(data=str(folder), size=32, held_out=1, flat=0.0).dataset(), recipe.dataset()
    assert len(part) == len(whole) - int(0.25 * len(whole)) and len(part.test) == len(whole.test)


def test_flat_pictures_have_nothing_to_learn(tmp_path):
    Image.new("RGB", (120, 120), "red").save(tmp_path / "flat.png")
    with pytest.raises(ReverieError, match="no detail"):
        Upscale(data=str(tmp_path), samples=32, dtype="float32").run(tmp_path / "run")


def test_a_run_done_again_has_the_same_bytes_and_one_resumed_too(run, folder, tmp_path):
    from reverie.recipes.repeating import repeat

    again = repeat(run / "recipe.json", tmp_path / "again", str(folder))
    for name in ("ema", "raw"):
        file = f"weights/{name}.safetensors"
        assert (again / file).read_bytes() == (run / file).read_bytes()
