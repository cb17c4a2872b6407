"""One folder with everything that goes wrong: each file is used, or skipped with its reason, and nothing is stretched."""

import json
import os
import shutil
import sys
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reverie.cli import main
from reverie.data import pictures
from reverie.data.check import Check
from reverie.data.folders import load_folder
from reverie.errors import ReverieError

sys.path.insert(0, str(Path(__file__).parent))
import messy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse some of these files")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("messy")
    messy.make(place / "photos", place / "elsewhere")
    return place / "photos"


@pytest.fixture(scope="module")
def found(folder):
    return load_folder(folder)


@pytest.fixture(scope="module")
def raw(found):
    return dict(zip(messy.USED, found.raw, strict=True))


def test_every_file_is_used_or_skipped_with_its_reason(found):
    assert {one.name: one.reason for one in found.report.skipped} == messy.SKIPPED
    assert len(found) == found.report.used == len(messy.USED)
    assert found.report.sizes == Counter(messy.SIZES.values())
    assert found.report.changes == {
        "16 bits a channel to 8": 1,
        "CMYK to RGB": 1,
        "cut to a square": 3,
        "first of several frames or pages": 1,
        "opacity over white": 2,
        "palette to colours": 3,
        "resized": 3,
        "turned upright": 1,
    }
    assert found.classes == ("cat", "dog") and found.values["label"].tolist() == [0] * 7 + [1] * 8
    same = ("cat/copy.png", "cat/plain.png", "dog/same.png")
    assert found.report.duplicates == found.report.conflicts == (same,)


def test_what_is_doubtful_is_all_said(found):
    doubts = Check(found).doubts()
    expected = [
        "10 skipped: 2 cut short or damaged, 2 not a picture, ",
        "2 samples are copies of others",
        "1 sample is in more than one class",
        "2 of 15 pictures were smaller than 40 x 40",
        "2 of 15 pictures lost more than half of their area",
        "1 of 15 pictures lost something: first of several frames",
        "1 of 15 pictures lost something: 16 bits",
        "links that lead outside the folder, and were followed: 1",
    ]
    assert len(doubts) == len(expected)
    for doubt, start in zip(doubts, expected, strict=True):
        assert doubt.startswith(start)


def test_the_lines_add_up_and_name_examples(found):
    lines = Check(found).lines()
    assert lines[0] == "found 25, used 15, skipped 10"
    assert "  2 cut short or damaged: cat/cut.jpg, cat/nothing.png" in lines
    assert "  1 more than 67 million pixels: cat/bomb.png" in lines
    assert sum(int(line.split()[0]) for line in lines[1:9]) == 10
    assert "doubtful: 1 sample is in more than one class" in lines


def test_every_conversion_is_the_one_that_is_documented(raw):
    assert (raw["cat/cmyk.jpg"].permute(1, 2, 0).int() - torch.tensor([255, 0, 0])).abs().max() <= 3
    assert (raw["cat/rgba.png"][:, 0, 0] == 255).all() and raw["cat/rgba.png"][:, 20, 20].tolist() == [220, 200, 20]
    assert raw["cat/palette.png"][:, 0, 0].tolist() == [0, 255, 7] and (raw["cat/see.png"][:, 0, 0] == 255).all()
    levels = np.linspace(0, 65535, 1600).reshape(40, 40).astype(np.uint16)
    assert np.array_equal(raw["dog/deep.png"][0], np.round(levels / 257))
    shares = (raw["cat/animated.gif"][0] > 100).double().mean()
    assert abs(shares - np.pi * 0.2**2) < 0.02, "the first frame"


def test_circles_stay_circles(raw):
    """Of a panorama and of a portrait that lay on its side: as wide as high, in the middle, as large as it was."""
    for name, radius in (
        ("dog/panorama.png", 16),
        ("dog/turned.jpg", 16),
        ("cat/plain.png", 16),
        ("dog/outside.png", 12),
    ):
        inside = raw[name][0] > 125
        rows, columns = inside.any(1).nonzero().flatten(), inside.any(0).nonzero().flatten()
        assert abs(len(rows) - len(columns)) <= 1 and abs(rows[0] - columns[0]) <= 1, name
        assert abs(inside.sum().item() - np.pi * radius**2) < 0.04 * np.pi * radius**2, name


def test_a_portrait_on_its_side_is_seen_upright_and_whole(tmp_path, folder):
    """The red stripe on top is where the file's left or right end would be if it had not been turned."""
    shutil.copy(folder / "dog" / "turned.jpg", tmp_path / "a.jpg")
    assert load_folder(tmp_path, size=40).report.sizes == {"40x80": 1}
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size == (80, 40)
    levels = pictures.read(str(tmp_path / "a.jpg")).levels
    assert levels.shape == (80, 40, 3) and (levels[:8, :, 0] > 200).all() and (levels[12:, 0, 0] < 60).all()


@pytest.fixture
def counted(monkeypatch):
    opened, decoded = Counter(), Counter()
    monkeypatch.setattr(pictures, "opened", lambda path, old=pictures.opened: (opened.update([path]), old(path))[1])
    inner = pictures._decoded

    def count(picture, size):
        decoded[picture.fp.name] += 1
        return inner(picture, size)

    monkeypatch.setattr(pictures, "_decoded", count)
    return opened, decoded


@pytest.mark.parametrize(
    ("sizes", "size", "openings"),
    [([(32, 32)] * 200, None, 1), ([(32, 30)] * 100 + [(20, 50)] * 99, None, 1), ([(90, 70), (300, 200)] * 60, 24, 1),
     ([(90, 70), (300, 200)] * 60, None, 2), ([(20, 20)] * 70 + [(100, 100)] * 3, None, 2)],
)  # fmt: skip
def test_every_file_is_decoded_once_and_small_ones_are_opened_once(tmp_path, counted, sizes, size, openings):
    for i, shape in enumerate(sizes):
        messy.disc(*shape, radius=0.2 + i / 1000).save(tmp_path / f"{i}.png")
    assert len(load_folder(tmp_path, size=size)) == len(sizes)
    opened, decoded = counted
    assert set(decoded.values()) == {1} and len(decoded) == len(sizes)
    assert max(opened.values()) == openings


def test_memory_is_about_twice_that_of_the_result(tmp_path):
    for i in range(300):
        messy.disc(160, 120, ink=(i % 250, 9, 9)).save(tmp_path / f"{i}.png")
    load_folder(tmp_path, size=8)
    tracemalloc.start()
    size = load_folder(tmp_path, size=64).raw.nbytes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size < peak < 2.5 * size + 2**20, "decoded pictures at full size would be 4.7 times as much"


def test_a_file_that_may_not_be_read_is_reported(monkeypatch):
    """As a user who may not: root may read everything."""
    place = Path(tempfile.mkdtemp())
    try:
        messy.disc(8, 8).save(place / "a.png")
        messy.disc(8, 8, radius=0.2).save(place / "b.png")
        (place / "shut").mkdir(mode=0o000)
        (place / "b.png").chmod(0o000)
        place.chmod(0o755)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            found = load_folder(place)
        finally:
            if user == 0:
                os.seteuid(0)
        reasons = {one.name: one.reason for one in found.report.skipped}
        assert reasons == {
            "b.png": "cannot be read: Permission denied",
            "shut": "a folder that cannot be read: Permission denied",
        }
        assert len(found) == 1
    finally:
        shutil.rmtree(place)


def test_strict_accepts_a_clean_folder_and_names_what_is_not(tmp_path):
    for i in range(3):
        messy.disc(8, 8, radius=0.2 + i / 10).save(tmp_path / f"{i}.png")
    Check(load_folder(tmp_path)).require_clean()
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(ReverieError, match=r"--strict: 1 skipped: 1 not a picture, such as notes\.md\. Mend the data"):
        Check(load_folder(tmp_path)).require_clean()


def call(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return stop.value.code or 0


def test_the_report_is_printed_and_as_json_without_absolute_names(folder, capsys):
    assert call("data", "check", str(folder)) == 0
    assert capsys.readouterr().out.startswith("found 25, used 15, skipped 10\n")
    assert call("data", "check", str(folder), "--json") == 0
    out = capsys.readouterr().out
    told = json.loads(out)
    out.encode()
    assert str(folder.parent) not in out
    assert {one["name"]: one["reason"] for one in told["skipped"]} == messy.SKIPPED
    assert (told["found"], told["used"], told["classes"]) == (25, 15, {"cat": 7, "dog": 8})
    assert told["sizes"]["3000x200"] == 1 and told["samples"]["shape"] == [3, 40, 40] and len(told["doubts"]) == 8


def test_strict_ends_with_status_1_and_writes_nothing(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["data", "check", str(folder), "--strict"],
        ["train", str(folder), "--strict", "--samples", "32"],
    ):
        assert call(*arguments) == 1
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("error: --strict: 10 skipped: 2 cut short or damaged") and "leave out --strict" in last
    assert not list(tmp_path.iterdir())


def test_a_messy_folder_trains_and_says_first_what_it_skipped(folder, tmp_path, capsys):
    run = tmp_path / "run"
    code = call("train", str(folder), "--samples", "64", "--size", "16", "--batch", "16", "--checkpoints", "1",
                "--dtype", "float32", "--network", "unet(levels=(16, 32), blocks=1)", "--out", str(run))  # fmt: skip
    said = capsys.readouterr().err
    assert code == 0, said
    assert said.startswith("found 25, used 15, skipped 10\n") and "cat/bomb.png" in said
    assert json.loads((run / "recipe.json").read_text())["data"]["count"] == 15
    assert (run / "weights" / "ema.safetensors").stat().st_size > 1000
