"""What cannot be done is said in a line, and nothing is written."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import reverie
import reverie.editing  # hands its verbs to systems, of whatever origin
from reverie.errors import ReverieError


@pytest.fixture(scope="module")
def digits():
    return reverie.load("digits")


GREY = np.full((8, 8), 90, np.uint8)
COLOUR = np.full((8, 8, 3), 90, np.uint8)
MASK = np.where(np.arange(8) < 4, 255, 0).astype(np.uint8) * np.ones((8, 1), np.uint8)

WRONG = [
    ("vary", [GREY], {"strength": -0.1}, "strength is a share from 0 to 1"),
    ("vary", [GREY], {"strength": 1.5}, "strength is a share from 0 to 1"),
    ("vary", [GREY], {"strength": float("nan")}, "strength is a finite number, not 'nan'"),
    ("vary", [], {}, "takes 1 picture, not 0"),
    ("vary", [GREY, GREY], {}, "takes 1 picture, not 2"),
    ("vary", [COLOUR], {}, "--grey takes its brightness"),
    ("vary", [GREY.astype(np.float32)], {}, "uint8"),
    ("vary", ["nowhere.png"], {}, "does not exist"),
    ("vary", [GREY], {"count": 0}, "one version or more"),
    ("vary", [GREY], {"overlap": 0.9}, "overlap is a share"),
    ("vary", [GREY], {"condition": "boot"}, "boot"),
    ("vary", [GREY], {"colour": 1}, "colour"),
    ("inpaint", [GREY], {}, "a mask is needed"),
    ("inpaint", [GREY], {"mask": np.zeros((9, 8), np.uint8)}, "--resize-mask"),
    ("inpaint", [GREY], {"mask": MASK, "feather": -1}, "0 pixels or more"),
    ("inpaint", [GREY], {"mask": MASK, "method": "magic"}, "magic"),
    ("inpaint", [GREY], {"mask": MASK, "box": "0,0,2,2"}, "not both"),
    ("inpaint", [GREY], {"box": "0,0,2"}, "whole pixels"),
    ("inpaint", [GREY], {"box": "5,0,4,2"}, "does not lie"),
    ("outpaint", [GREY], {}, "how many pixels to add"),
    ("outpaint", [GREY], {"left": -3}, "how many pixels to add"),
    ("outpaint", [GREY], {"left": 10**9}, "million pixels"),
    ("upscale", [GREY], {"factor": 0}, "factor is a whole number"),
    ("upscale", [GREY], {"factor": 64, "method": "dd"}, "dd"),
    ("colorize", [GREY], {}, "knows no colours"),
    ("restore", [GREY], {}, "say what spoiled"),
    ("restore", [GREY], {"blur": 1.0, "levels": 4}, "say one of"),
    ("restore", [GREY], {"noise": 300.0}, "from 0 to 255"),
    ("restore", [GREY], {"motion": 50.0}, "longer than the picture"),
    ("restore", [GREY], {"levels": 4, "method": "ddrm"}, "DDRM|ddrm"),
    ("interpolate", [GREY], {}, "takes 2 pictures, not 1"),
    ("interpolate", [GREY, GREY[:6]], {}, "one size"),
    ("interpolate", [GREY, GREY], {"frames": 1}, "frames are 2"),
    ("interpolate", [GREY, GREY], {"count": 3}, "makes once"),
    ("blend", [GREY], {}, "two pictures, or none"),
    ("blend", [], {"condition": ["3"]}, "two conditions"),
    ("blend", [GREY, GREY], {"weight": 2.0}, "weight is a share"),
    ("restore", [GREY], {"motion": 3.0, "angle": float("inf")}, "angle is a finite number, not 'inf'"),
    ("restore", [GREY], {"motion": 3.0, "angle": float("nan")}, "angle is a finite number, not 'nan'"),
    ("restore", [GREY], {"blur": 1e9}, "wider than the picture"),
    ("restore", [GREY], {"blur": True}, "blur is a finite number, not 'True'"),
    ("upscale", [GREY], {"factor": 2.5}, "factor is a whole number, not '2.5'"),
    ("outpaint", [GREY], {"left": 1.5}, "left is a whole number, not '1.5'"),
    ("interpolate", [GREY, GREY], {"frames": 2.5}, "frames is a whole number"),
    ("vary", [GREY], {"strength": "a"}, "strength is a finite number, not 'a'"),
    ("vary", [GREY], {"count": 1.5}, "count is a whole number, not '1.5'"),
    ("vary", [GREY], {"seed": None}, "seed is a whole number, not 'None'"),
    ("inpaint", [GREY], {"mask": MASK, "invert_mask": 1}, "invert mask is true or false, not '1'"),
    ("inpaint", [GREY], {"box": 5}, "box is a word"),
    ("vary", [GREY], {"sample_steps": 10**9}, "sample steps are 1 to 10000, not 1000000000"),
    ("vary", [GREY], {"sample_steps": 0}, "sample steps are 1 to 10000"),
    ("blend", [GREY, GREY], {"feather": -3}, "give --mask"),
    ("blend", [GREY, GREY], {"invert_mask": True}, "give --mask"),
    ("animate", [], {"fps": 0.0}, "more than 0"),
    ("animate", [], {"count": 40}, "raise --batch"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "given", "options", "told"), WRONG, ids=[f"{one[0]}-{one[3][:24]}" for one in WRONG])
def test_it_is_refused_in_a_line(digits, verb, given, options, told):
    with pytest.raises(ReverieError, match=told) as caught:
        getattr(digits, verb)(*given, **options)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_is_resized_when_told(digits):
    mask = np.repeat(np.repeat(MASK, 2, 0), 2, 1)
    one = digits.inpaint(GREY, mask=mask, resize_mask=True, sample_steps=2).raw
    assert one.equal(digits.inpaint(GREY, mask=MASK, sample_steps=2).raw)


def test_a_model_of_arrays_edits_no_pictures():
    from reverie.data import Dataset
    from reverie.recipes.arrays import Arrays

    data = Dataset("rows", torch.randn(16, 2, 8))
    recipe = Arrays(
        samples=32, batch=16, dtype="float32", learning_rate=1e-3, network="dit(width=16, depth=1, head_size=8)"
    )
    with pytest.raises(ReverieError, match=r"this model makes arrays \(2 x 8\)"):
        recipe.system(data).vary(GREY)


def huge(path):
    """A PNG whose header promises 10^12 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def command(folder, *arguments):
    return subprocess.run([sys.executable, "-m", "reverie", "edit", *map(str, arguments)], cwd=folder, capture_output=True,
                          text=True)  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["huge", "broken", "text", "mask", "strength", "verb", "mask-huge", "mask-text", "steps"]
)
def test_the_command_says_it_in_a_line_and_writes_nothing(tmp_path, kind):
    Image.fromarray(GREY).save(tmp_path / "picture.png")
    huge(tmp_path / "huge.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "picture.png").read_bytes()[:40])
    (tmp_path / "text.png").write_text("a cat")
    Image.fromarray(GREY[:5]).save(tmp_path / "mask.png")
    arguments = {
        "mask": ("inpaint", "digits", "--image", "picture.png", "--mask", "mask.png"),
        "strength": ("vary", "digits", "--image", "picture.png", "--strength", "7"),
        "verb": ("paint", "digits"),
        "mask-huge": ("inpaint", "digits", "--image", "picture.png", "--mask", "huge.png"),
        "mask-text": ("inpaint", "digits", "--image", "picture.png", "--mask", "text.png"),
        "steps": ("vary", "digits", "--image", "picture.png", "--sample-steps", 10**9),
    }.get(kind, ("vary", "digits", "--image", f"{kind}.png"))
    before = sorted(path.name for path in tmp_path.iterdir())
    done = command(tmp_path, *arguments)
    assert done.returncode and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not done.stdout and sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_command_edits_and_says_what_made_it(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "picture.png")
    Image.fromarray(MASK).save(tmp_path / "mask.png")
    done = command(tmp_path, "inpaint", "digits", "--image", "picture.png", "--mask", "mask.png", "-n", "2", "--label", "3",
                   "--sample-steps", "3", "--out", "new")  # fmt: skip
    assert not done.returncode, done.stderr
    assert "2 pictures in new; preview.png" in done.stdout and "noise level: t = 1" in done.stdout
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["00000.png", "00001.png", "grid.png", "preview.png", "samples.json"]
    kept = np.asarray(Image.open(tmp_path / "new" / "00001.png"))[:, 4:]
    assert (kept == GREY[:, 4:]).all()
    again = command(tmp_path, "inpaint", "digits", "--image", "picture.png", "--mask", "mask.png", "-n", "2", "--label", "3",
                    "--sample-steps", "3", "--out", "again")  # fmt: skip
    assert not again.returncode
    for name in names[:2]:
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    told = subprocess.run(
        [sys.executable, "-m", "reverie", "info", "new/00000.png"], cwd=tmp_path, capture_output=True, text=True
    )
    assert not told.returncode and "inpaint" in told.stdout


def test_a_strength_too_small_for_a_time_is_no_strength(digits):
    for options in ({"strength": 1e-30}, {"strength": 1e-300}):
        assert (digits.vary(GREY, **options).raw == 90).all()
        assert (digits.inpaint(GREY, box="0,0,4,4", **options).raw == 90).all()
    assert (digits.restore(GREY, noise=1e-30, count=2).raw == 90).all()


def test_mp4_without_what_writes_it_is_refused_with_the_command_to_install(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ReverieError, match=r"pip install .*take --format gif"):
        digits.animate(format="mp4", sample_steps=1)
