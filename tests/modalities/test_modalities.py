"""What a modality writes it reads again, and what it shows can be seen."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from reverie import modalities
from reverie.core.spaces import Space
from reverie.data import Dataset
from reverie.discover import construct, describe, discover, variants
from reverie.errors import ReverieError
from reverie.modalities import Modality, claiming, load
from reverie.modalities.arrays import Arrays
from reverie.modalities.images import Images


def pictures(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("modality", "raw"),
    [
        (Images(), pictures(5, 1, 8, 6)),
        (Images(), pictures(5, 3, 8, 6)),
        (Arrays(), torch.randn(5, 2, 9)),
        (Arrays(), torch.randn(5, 3, 4, 6)),
        (Arrays(), torch.randn(5, 1, 4, 3, 2)),
    ],
    ids=lambda x: str(x if isinstance(x, Modality) else tuple(x.shape)),
)
def test_what_is_saved_is_loaded_byte_for_byte(tmp_path, modality, raw):
    paths = modality.save(raw, tmp_path / "out", start=7)
    assert [path.name[:5] for path in paths] == ["00007", "00008", "00009", "00010", "00011"]
    assert sorted((tmp_path / "out").iterdir()) == paths and paths[0].suffix in modality.extensions
    again = load(tmp_path / "out")
    assert torch.equal(again.raw, raw) and again.raw.dtype == raw.dtype and again.modality == type(modality).__name__
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in modality.save(raw, tmp_path / "out", start=7)] == first, "no time of day"
    assert claiming(tmp_path / "out") == modality


def test_stems_name_files(tmp_path):
    assert Images().save(pictures(1, 1, 2, 2), tmp_path, stem="cat")[0].name == "cat-00000.png"


def said(path):
    with Image.open(path) as picture:
        return picture.text


def test_a_picture_can_say_how_it_was_made(tmp_path):
    shared, own = Images().save(pictures(2, 3, 4, 4), tmp_path, info={"reverie": {"seed": 1}, "who": "Zoë"})
    for path in (shared, own):
        text = said(path)
        assert json.loads(text["reverie"]) == {"seed": 1} and text["who"] == "Zoë"
    paths = Images().save(pictures(2, 3, 4, 4), tmp_path, info=[{"seed": 1}, {"seed": 2}])
    assert [said(path)["seed"] for path in paths] == ["1", "2"]


def test_opacity_is_kept_in_files_and_shown_over_white(tmp_path):
    raw = torch.zeros(1, 4, 8, 8, dtype=torch.uint8)
    with Image.open(Images().save(raw, tmp_path)[0]) as picture:
        assert picture.mode == "RGBA"
    assert np.asarray(Images().show(raw)).min() == 255


@pytest.mark.parametrize(
    ("modality", "raw"),
    [
        (Images(), torch.rand(2, 3, 4, 4)),
        (Images(), pictures(2, 2, 4, 4)),
        (Images(), pictures(0, 3, 4, 4)),
        (Images(), pictures(2, 3, 4)),
        (Arrays(), torch.full((2, 1, 4), math.nan)),
        (Arrays(), torch.tensor([[[0.0, math.inf]]])),
        (Arrays(), pictures(2, 1, 4)),
        (Arrays(), torch.zeros(2, 1)),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, modality, raw):
    with pytest.raises(ReverieError):
        modality.save(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_grid_shows_every_pixel_as_a_sharp_square_with_a_gap():
    raw = pictures(5, 3, 8, 8)
    grid = np.asarray(Images().show(raw, columns=3))
    assert grid.shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    for i in range(5):
        row, column = divmod(i, 3)
        tile = grid[2 + 66 * row : 66 + 66 * row, 2 + 66 * column : 66 + 66 * column]
        assert np.array_equal(tile, np.kron(raw[i].permute(1, 2, 0), np.ones((8, 8, 1), np.uint8)))
    assert (grid[:2] == 255).all() and (grid[:, 66:68] == 255).all() and (grid[68:, 134:] == 255).all()


@pytest.mark.parametrize(
    ("n", "columns", "size"), [(1, None, (68, 68)), (4, None, (134, 134)), (5, None, (200, 134)), (2, 9, (134, 68))]
)
def test_grids_are_nearly_square(n, columns, size):
    assert Images().show(pictures(n, 1, 16, 16), columns).size == size


def test_large_pictures_are_not_enlarged():
    assert Images().show(pictures(1, 3, 100, 70)).size == (74, 104)


@pytest.mark.parametrize(
    "shape",
    [(3, 1, 20), (3, 8, 20), (3, 1, 1), (3, 1, 6, 5), (3, 3, 6, 5), (3, 5, 6, 5), (3, 1, 6, 5, 4), (3, 2, 6, 5, 4)],
)
@pytest.mark.parametrize("fill", [None, 0.0, math.nan])
def test_arrays_of_any_shape_and_content_can_be_shown(shape, fill):
    raw = torch.randn(shape) if fill is None else torch.full(shape, fill)
    shown = Arrays().show(raw)
    assert shown.mode == "RGB" and min(shown.size) > 20
    if fill is None and math.prod(shape[2:]) > 1:
        assert len(np.unique(np.asarray(shown))) > 5


def test_a_line_goes_where_the_numbers_go():
    shown = np.asarray(Arrays().show(torch.linspace(0, 1, 50)[None, None]))[6:-6, 20:180]
    ink = 255.0 - shown.mean(2)
    height = (ink * np.arange(len(ink))[:, None]).sum(0) / ink.sum(0)
    straight = np.polyval(np.polyfit(range(160), height, 1), range(160))
    assert height[0] > height[-1] + 60 and np.abs(height - straight).max() < 1, "straight, and up to the right"


def test_maps_are_grey_levels_on_one_scale_for_all():
    raw = torch.stack([torch.zeros(1, 64, 64), torch.ones(1, 64, 64)])
    raw[0, 0, 0, 0] = -1
    shown = np.asarray(Arrays().show(raw))
    assert (
        shown[40, 40].tolist() == [128] * 3 and shown[40, 100].tolist() == [255] * 3 and shown[2, 2].tolist() == [0] * 3
    )


def test_slices_are_the_middles():
    raw = torch.rand(1, 1, 64, 66, 70)
    shown = np.asarray(Arrays().show(raw))[2:-2, 2:-2, 0]
    levels = ((raw - raw.min()) / (raw.max() - raw.min()) * 255)[0, 0].numpy()
    assert np.abs(shown[:66, :70] - levels[32]).max() <= 1
    assert np.abs(shown[:64, 71:141] - levels[:, 33]).max() <= 1
    assert np.abs(shown[:64, 142:208] - levels[:, :, 35]).max() <= 1


def test_folders_go_to_whom_they_belong(tmp_path):
    for name in ("pictures", "numbers", "mixed", "text", "empty"):
        (tmp_path / name).mkdir()
    Images().save(pictures(3, 1, 8, 8), tmp_path / "pictures")
    Arrays().save(torch.randn(2, 1, 8), tmp_path / "numbers")
    Images().save(pictures(3, 1, 8, 8), tmp_path / "mixed")
    Arrays().save(torch.randn(2, 1, 8), tmp_path / "mixed", stem="a")
    (tmp_path / "text/a.txt").write_text("a")
    np.save(tmp_path / "one.npy", np.zeros((3, 1, 5)))
    assert [claiming(tmp_path / name) for name in ("pictures", "numbers", "mixed", "one.npy")] == [
        Images(),
        Arrays(),
        Images(),
        Arrays(),
    ]
    for name in ("text", "empty", "text/a.txt"):
        with pytest.raises(ReverieError, match=r"can be read as data; what can: \.bmp"):
            claiming(tmp_path / name)
        assert sum(cls.claims(tmp_path / name) for cls in discover(modalities, Modality).values()) == 0
    with pytest.raises(ReverieError, match="does not exist"):
        claiming(tmp_path / "nowhere")


def test_a_name_is_a_path_first_and_a_built_in_set_otherwise(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    assert load("digits").name == "digits" and len(load("digits")) == 1497
    with pytest.raises(ReverieError, match="takes no options; leave out size"):
        load("digits", size=3)
    Images().save(pictures(3, 1, 8, 8), tmp_path / "digits")
    assert len(load("digits")) == 3 and load("digits", size=4).shape == (1, 4, 4)
    with pytest.raises(ReverieError, match="unknown data set 'digit'"):
        load("digit")
    with pytest.raises(ReverieError, match="does not exist"):
        load("some/digits")


@pytest.mark.parametrize("modality", variants(modalities, Modality), ids=repr)
def test_every_modality_is_plain_data_with_a_space(modality):
    assert construct("modality", modalities, Modality, describe(modality)) == modality
    assert isinstance(modality.space(), Space) and modality.extensions
    assert Dataset("x", torch.zeros(1, 1, 1)).modality in discover(modalities, Modality)
