"""Folders as people have them: every picture is used or its reason is given, and what is used looks right."""

import os
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from reverie.data.folders import load_folder
from reverie.data.pictures import UPRIGHT
from reverie.errors import ReverieError

ORIENTATION = 0x0112


def noise(height, width, channels=3, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(levels if channels > 1 else levels[..., 0])


def reasons(dataset):
    return {one.name: one.reason for one in dataset.report.skipped}


def test_small_pictures_of_one_size_stay_byte_for_byte(tmp_path):
    for i in range(5):
        noise(7, 9, seed=i).save(tmp_path / f"{i}.png")
    found = load_folder(tmp_path)
    assert found.raw.shape == (5, 3, 7, 9) and found.raw.dtype == torch.uint8 and found.classes == ()
    for i in range(5):
        assert np.array_equal(found.raw[i].permute(1, 2, 0), np.asarray(noise(7, 9, seed=i)))
    assert found.report.sizes == {"9x7": 5} and found.report.notes == ()


def test_a_messy_folder_is_reported_file_by_file(tmp_path):
    for seed, name in enumerate(("b/one.png", "a/two.PNG", "a/deep/er/three.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        noise(8, 8, seed=seed).save(tmp_path / name)
    noise(8, 8, seed=0).save(tmp_path / "b/copy.png")
    (tmp_path / "a/empty.png").touch()
    (tmp_path / "a/notes.txt").write_text("what I did")
    (tmp_path / "a/page.jpg").write_text("<html>not found</html>")
    whole = (tmp_path / "b/one.png").read_bytes()
    (tmp_path / "b/cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b/head.png").write_bytes(whole[:20])
    (tmp_path / "b/.hidden.png").write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x.png").write_bytes(whole)
    (tmp_path / "b/gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b/loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "b/pipe.png")
    found = load_folder(tmp_path)
    assert reasons(found) == {
        "a/empty.png": "empty",
        "a/notes.txt": "not a picture",
        "a/page.jpg": "not a picture",
        "b/cut.png": "cut short or damaged",
        "b/gone.png": "a link to nothing",
        "b/head.png": "cut short or damaged",
        "b/loop": "a link to a folder",
        "b/pipe.png": "not a regular file",
    }
    assert (found.report.found, found.report.used, len(found)) == (11, 4, 4)
    assert found.report.duplicates == (("b/copy.png", "b/one.png"),)
    assert found.classes == ("a", "b") and found.values["label"].tolist() == [0, 0, 1, 1]


def test_the_order_is_that_of_names_and_the_result_that_of_the_content(tmp_path):
    for i in [3, 1, 2, 0]:
        noise(20, 30 + i, seed=i).save(tmp_path / f"{i}.png")
    one, two = load_folder(tmp_path), load_folder(tmp_path)
    assert one.fingerprint() == two.fingerprint()
    (tmp_path / "0.png").rename(tmp_path / "9.png")
    assert torch.equal(load_folder(tmp_path).raw, one.raw.roll(-1, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_pictures_come_out_upright(tmp_path, orientation, ending):
    upright = Image.fromarray(np.kron(np.array([[0, 80, 160], [240, 200, 40]], np.uint8), np.ones((8, 8), np.uint8)))
    undo = UPRIGHT.get(orientation)
    back = {
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
    }
    stored = upright if undo is None else upright.transpose(back.get(undo, undo))
    about = Image.Exif()
    about[ORIENTATION] = orientation
    best = {"jpg": {"quality": 95}, "webp": {"lossless": True}}.get(ending, {})
    stored.save(tmp_path / f"a.{ending}", exif=about, **best)
    found = load_folder(tmp_path, channels=1)
    assert found.report.sizes == {"24x16": 1}
    difference = found.raw[0, 0].int() - torch.from_numpy(np.asarray(upright).astype(np.int32))
    assert difference.abs().max() <= 8


def test_every_kind_of_pixel_becomes_8_bits_over_white(tmp_path):
    grey = np.full((4, 4), 100, np.uint8)
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (10, 20, 30, 255)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(clear).save(tmp_path / "rgba.png")
    Image.fromarray(np.stack([grey, grey * 0], -1)).save(tmp_path / "la.png")
    Image.fromarray((np.arange(16).reshape(4, 4) * 4369).astype(np.uint16)).save(tmp_path / "sixteen.png")
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "bits.png")
    Image.fromarray(clear).convert("P").save(tmp_path / "palette.png")
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    Image.new("F", (4, 4), 0.5).save(tmp_path / "float.tif")
    Image.new("I", (4, 4), 70000).save(tmp_path / "deep.tif")
    paper = Image.new("P", (4, 4), 0)
    paper.putpalette([255, 0, 0, 0, 0, 255])
    paper.save(tmp_path / "see.gif", transparency=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_folder(tmp_path)
    names = [n for n in sorted(os.listdir(tmp_path)) if n not in reasons(found)]
    raw = dict(zip(names, found.raw, strict=True))
    assert set(reasons(found)) == {"float.tif", "deep.tif"} and found.shape == (3, 4, 4)
    assert (raw["grey.png"] == 100).all() and (raw["la.png"] == 255).all() and (raw["see.gif"] == 255).all()
    assert raw["rgba.png"][:, 0, 0].tolist() == [10, 20, 30] and (raw["rgba.png"][:, 2:] == 255).all()
    assert raw["sixteen.png"][0].flatten().tolist() == [17 * i for i in range(16)]
    assert raw["bits.png"][0].tolist() == (255 * np.eye(4, dtype=int)).tolist()
    assert raw["cmyk.tif"][:, 0, 0].tolist() == [255, 0, 0]
    assert found.report.notes[0].startswith("5 of 8 pictures are grey") or "are grey" in found.report.notes[0]


def test_grey_stays_one_channel_whatever_the_files_store(tmp_path):
    noise(8, 8, 1).save(tmp_path / "a.png")
    noise(8, 8, 1, seed=1).convert("RGB").save(tmp_path / "b.png")
    found = load_folder(tmp_path)
    assert found.shape == (1, 8, 8)
    assert np.array_equal(found.raw[1, 0], np.asarray(noise(8, 8, 1, seed=1)))
    assert load_folder(tmp_path, channels=3).shape == (3, 8, 8)
    noise(8, 8).save(tmp_path / "c.png")
    assert load_folder(tmp_path).shape == (3, 8, 8)
    assert "2 of 3 pictures are grey" in load_folder(tmp_path).report.notes[0]
    assert load_folder(tmp_path, channels=1).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("sizes", "option", "expected"),
    [
        ([(64, 64)] * 2, None, (64, 64)),
        ([(40, 20)] * 2, None, (20, 40)),
        ([(65, 65)] * 2, None, (64, 64)),
        ([(300, 100), (20, 30), (50, 48)], None, (48, 48)),
        ([(300, 100), (20, 30)], 10, (10, 10)),
        ([(12, 12)] * 2, 24, (24, 24)),
        ([(500, 400)], None, (64, 64)),
    ],
)
def test_the_size_comes_from_the_pictures(tmp_path, sizes, option, expected):
    for i, (width, height) in enumerate(sizes):
        noise(height, width, seed=i).save(tmp_path / f"{i}.png")
    assert load_folder(tmp_path, size=option).shape == (3, *expected)


def test_a_damaged_picture_has_no_say_in_the_size(tmp_path):
    for i in range(3):
        noise(16, 16, seed=i).save(tmp_path / f"{i}.png")
    noise(900, 900).save(tmp_path / "large.png")
    content = (tmp_path / "large.png").read_bytes()
    (tmp_path / "large.png").write_bytes(content[: len(content) // 2])
    found = load_folder(tmp_path)
    assert found.shape == (3, 16, 16) and found.report.sizes == {"16x16": 3}
    assert np.array_equal(found.raw[1].permute(1, 2, 0), np.asarray(noise(16, 16, seed=1)))


def test_nothing_is_stretched_and_the_middle_is_kept(tmp_path):
    """A disc in the middle of a wide picture is still a disc, and the ends are cut off."""
    y, x = np.mgrid[:100, :300]
    disc = np.where((y - 49.5) ** 2 + (x - 149.5) ** 2 < 40**2, 255, 0).astype(np.uint8)
    disc[:, :90] = disc[:, 210:] = 128
    Image.fromarray(disc).save(tmp_path / "a.png")
    picture = load_folder(tmp_path, size=50).raw[0, 0].double()
    assert (picture - picture.T).abs().max() <= 16, "the picture library rounds between its two passes"
    assert picture[:, [0, -1]].max() == 0, "the grey ends are gone"
    assert abs((picture / 255).sum().item() - np.pi * 20**2) < 0.02 * np.pi * 20**2


def test_reduction_is_antialiased(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (400, 200))
    Image.fromarray(stripes).save(tmp_path / "a.png")
    inner = load_folder(tmp_path, size=40).raw[0, 0, :, 2:-2].float()
    assert (inner - 127.5).abs().max() <= 2


def test_a_bomb_is_not_decoded(tmp_path):
    noise(8, 8).save(tmp_path / "a.png")
    for name, side in [("bomb", 40_000), ("large", 9000)]:
        noise(1, 1, 1).save(tmp_path / f"{name}.png")
        content = bytearray((tmp_path / f"{name}.png").read_bytes())
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
        (tmp_path / f"{name}.png").write_bytes(content)
    found = load_folder(tmp_path)
    assert set(reasons(found).values()) == {"more than 67 million pixels"} and len(found) == 1


def test_the_first_frame_of_what_moves_is_taken(tmp_path):
    frames = [noise(8, 8, 1, seed=i) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.array_equal(load_folder(tmp_path).raw[0, 0], np.asarray(frames[0]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: None, "no usable picture. Pictures end in .png"),
        (lambda folder: (folder / "a.txt").write_text("a"), "no usable picture: 1 not a picture"),
        (lambda folder: (folder / "a.png").touch(), "no usable picture: 1 empty"),
        (lambda folder: (folder / "below").mkdir(), "no usable picture"),
    ],
)
def test_a_folder_with_nothing_usable_is_refused_with_the_reason(tmp_path, make, reason):
    make(tmp_path)
    with pytest.raises(ReverieError, match=reason.replace(".", r"\.")):
        load_folder(tmp_path)


def test_options_out_of_range_are_refused(tmp_path):
    with pytest.raises(ReverieError, match="1 to 4096"):
        load_folder(tmp_path, size=0)
    with pytest.raises(ReverieError, match="1 or 3"):
        load_folder(tmp_path, channels=2)
    with pytest.raises(ReverieError, match="cannot be read"):
        load_folder(tmp_path / "nowhere")


def test_parts_of_a_set_are_not_classes(tmp_path):
    for name in ("train/a.png", "test/b.png"):
        (tmp_path / name).parent.mkdir()
        noise(8, 8).save(tmp_path / name)
    with pytest.raises(ReverieError, match="test, train are parts of a set"):
        load_folder(tmp_path)


def test_pictures_beside_the_subfolders_mean_that_there_are_no_classes(tmp_path):
    for name in ("a.png", "old/b.png", "new/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise(8, 8, seed=len(name)).save(tmp_path / name)
    found = load_folder(tmp_path)
    assert found.classes == () and len(found) == 3 and found.report.notes[0].startswith("no classes: 1 of 3")
    (tmp_path / "a.png").unlink()
    assert load_folder(tmp_path).classes == ("new", "old")
    (tmp_path / "old/b.png").unlink()
    assert load_folder(tmp_path).classes == (), "one class says nothing"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not text")
def test_strange_names_do_no_harm(tmp_path):
    for folder in (b"caf\xe9", b"a\x1b[2J"):
        os.mkdir(os.path.join(os.fsencode(tmp_path), folder))
        noise(8, 8, seed=len(folder)).save(
            os.path.join(os.fsencode(tmp_path), folder, b"x.png").decode(errors="surrogateescape")
        )
    found = load_folder(tmp_path)
    assert len(found.classes) == 2 and "\\udce9" in found.classes[1]
    "".join(found.classes).encode()
