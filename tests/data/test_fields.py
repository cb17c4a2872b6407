"""Pictures of numbers keep their range: read as stored, never squeezed into 256 levels, written as the files were."""

import json
import os
import struct

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from reverie.cli import main
from reverie.codecs.standard import Standard
from reverie.data import tiffs
from reverie.data.arrays import load_arrays
from reverie.data.check import Check
from reverie.data.fields import kind_of
from reverie.data.folders import load_folder
from reverie.data.opening import Unusable
from reverie.discover import construct, describe
from reverie.errors import ReverieError
from reverie.modalities import Modality, claiming, load
from reverie.modalities.arrays import DTYPES, Arrays
from reverie.modalities.images import Images


def numbers(shape, dtype, seed=0):
    kind = np.dtype(dtype).newbyteorder("=")
    rng = np.random.default_rng(seed)
    if kind.kind == "f":
        return rng.normal(1e4, 3e3, shape).astype(dtype)
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return rng.integers(low, high, shape, dtype=kind, endpoint=True).astype(dtype)


def write(path, array, **options):
    options = {"photometric": "minisblack", "metadata": None, **options}
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **options)


def reasons(dataset):
    return {one.name: one.reason for one in dataset.report.skipped}


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int8", "float32", "float64", ">u2"])
@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((9, 11), {}, (1, 9, 11)),
        ((9, 11), {"compression": "zlib", "tile": (16, 16)}, (1, 9, 11)),
        ((9, 11, 3), {"photometric": "rgb"}, (3, 9, 11)),
        ((3, 9, 11), {"photometric": "rgb", "planarconfig": "separate"}, (3, 9, 11)),
        ((5, 9, 11), {}, (5, 9, 11)),
        ((9, 9, 11), {"bigtiff": True}, (1, 9, 9, 11)),
    ],
    ids=["grey", "tiles", "colour", "planes", "pages", "volume"],
)
def test_numbers_of_any_layout_come_out_as_they_were(tmp_path, dtype, shape, options, expected):
    stored = [numbers(shape, dtype, seed) for seed in range(2)]
    for i, one in enumerate(stored):
        write(tmp_path / f"{i}.tif", one, **options)
    found = load(tmp_path)
    assert found.modality == "Arrays" and found.shape == expected and found.raw.dtype == torch.float32
    channels_first = [one.transpose(2, 0, 1) if shape[-1] == 3 else one for one in stored]
    for one, raw in zip(channels_first, found.raw, strict=True):
        assert np.array_equal(raw.numpy().reshape(one.shape), one.astype(np.float32))
    family = "float32" if np.dtype(dtype).kind == "f" else np.dtype(dtype).newbyteorder("=").name
    assert (found.dtype, found.ending) == (family, ".tif")


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (numbers((8, 8), "uint8"), "Images"),
        (numbers((8, 8, 3), "uint8"), "Images"),
        (np.eye(8, dtype=bool), "Images"),
        (numbers((8, 8), "uint16"), "Arrays"),
        (numbers((8, 8), "float32"), "Arrays"),
    ],
    ids=["8-bit", "colour", "bits", "16-bit", "float"],
)
def test_tiffs_of_8_bits_are_pictures_and_of_more_are_numbers(tmp_path, array, kind):
    for i in range(3):
        write(tmp_path / f"{i}.tiff", array, photometric="rgb" if array.ndim == 3 else "minisblack")
    found = load(tmp_path)
    assert found.modality == kind and len(found) == 3
    if kind == "Images" and array.ndim == 2:
        assert np.array_equal(found.raw[0, 0].numpy(), array.astype(np.uint8) * (255 if array.dtype == bool else 1))


def test_what_most_files_are_decides_and_the_rest_is_named(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.tif", numbers((8, 8), "uint16", i))
    write(tmp_path / "eight.tif", numbers((8, 8), "uint8"))
    write(tmp_path / "float.tif", numbers((8, 8), "float32"))
    write(tmp_path / "two.tif", numbers((2, 8, 8), "uint16"))
    write(tmp_path / "stack.tif", numbers((20, 8, 8), "uint16"))
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    content = (tmp_path / "0.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[:-20])
    (tmp_path / "text.tif").write_text("not found")
    (tmp_path / "empty.tif").touch()
    os.mkfifo(tmp_path / "pipe.tif")
    found = load(tmp_path)
    assert len(found) == 4 and reasons(found) == {
        "cut.tif": "cut short or damaged",
        "eight.tif": "uint8, where most are uint16",
        "empty.tif": "empty",
        "float.tif": "float32, where most are uint16",
        "picture.png": "not a .npy or TIFF file",
        "pipe.tif": "not a regular file",
        "stack.tif": "of layers, rows and columns, where most are of rows and columns",
        "text.tif": "not a .npy or TIFF file",
        "two.tif": "uint16 (2, 8, 8), where most are pictures of 1 channel",
    }
    assert Check(found).lines()[0] == "found 13, used 4, skipped 9"


@pytest.mark.parametrize(("ending", "dtype"), [(".npy", "float32"), (".npy", "uint16"), (".tif", "float32")])
def test_a_file_with_a_number_that_is_none_is_skipped_and_said(tmp_path, ending, dtype):
    for i in range(4):
        one = numbers((8, 8), "float32", i).astype(dtype)
        if i in (1, 2) and dtype == "float32":
            one[3, 3] = [0, np.nan, np.inf][i]
        write(tmp_path / f"{i}.tif", one) if ending == ".tif" else np.save(tmp_path / f"{i}.npy", one[None])
    found = load_arrays(tmp_path)
    expected = [] if dtype == "uint16" else [f"1{ending}", f"2{ending}"]
    assert list(reasons(found)) == expected and len(found) == 4 - len(expected)
    assert ["holds numbers that are NaN or infinite"] * len(expected) == list(reasons(found).values())


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((12, 10), None, (1, 12, 10)),
        ((12, 10, 3), None, (3, 12, 10)),
        ((3, 12, 10), None, (3, 12, 10)),
        ((2, 12), None, (2, 12)),
        ((2, 12), 2, (1, 2, 12)),
        ((4, 12, 10), 3, (1, 4, 12, 10)),
        ((12, 10, 3), 3, (1, 12, 10, 3)),
    ],
)
def test_numpy_pictures_may_lack_channels_or_have_them_last(tmp_path, shape, axes, expected):
    one = numbers(shape, "uint16")
    np.save(tmp_path / "a.npy", one)
    found = load_arrays(tmp_path, axes=axes)
    assert found.shape == expected and (found.dtype, found.ending) == ("uint16", ".npy")
    last = one.transpose(2, 0, 1) if expected[0] == shape[-1] and len(shape) == 3 else one
    assert np.array_equal(found.raw[0].numpy().reshape(last.shape), last)


def test_a_shape_that_can_be_read_in_two_ways_is_refused_with_the_way_out(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 20, 20)))
    with pytest.raises(ReverieError, match="can be read in two ways: axes=2 for 20 channels, axes=3"):
        load_arrays(tmp_path)
    assert load_arrays(tmp_path, axes=3).shape == (1, 20, 20, 20)


def test_large_pictures_shrink_to_averages_without_stretching_and_within_their_range(tmp_path):
    y, x = np.mgrid[:200, :300]
    disc = np.where((y - 99.5) ** 2 + (x - 149.5) ** 2 < 80**2, 50_000, 1000).astype(np.uint16)
    write(tmp_path / "a.tif", disc)
    write(tmp_path / "b.tif", disc.T)
    found = load(tmp_path)
    assert found.shape == (1, 64, 64) and found.report.sizes == {"300x200": 1, "200x300": 1}
    assert found.report.changes == {"cut to a square": 2, "resized": 2}
    raw = found.raw[:, 0].double()
    assert raw.min() == 1000 and raw.max() == 50_000, "no ringing"
    torch.testing.assert_close(raw[0], raw[1].T, rtol=0, atol=1)
    torch.testing.assert_close(raw[0], raw[0].T, rtol=0, atol=200)
    inside = ((raw[0] - 1000) / 49_000).sum().item()
    assert abs(inside - np.pi * (80 * 64 / 200) ** 2) < 0.01 * inside
    assert load(tmp_path, size=16).shape == (1, 16, 16)


def test_numpy_pictures_are_resized_only_where_that_is_asked_for(tmp_path):
    for i, shape in enumerate([(100, 100), (100, 100), (80, 90)]):
        np.save(tmp_path / f"{i}.npy", numbers(shape, "float32"))
    found = load(tmp_path)
    assert found.shape == (1, 100, 100)
    assert reasons(found) == {"2.npy": "float32 (1, 80, 90), where most are numbers (1, 100, 100)"}
    assert load(tmp_path, size=32).raw.shape == (3, 1, 32, 32)
    np.save(tmp_path / "one.npy", np.zeros((3, 1, 9)))
    with pytest.raises(ReverieError, match="leave out the size"):
        load(tmp_path / "one.npy", size=3)
    (tmp_path / "signals").mkdir()
    np.save(tmp_path / "signals" / "a.npy", np.zeros((1, 9)))
    with pytest.raises(ReverieError, match="only those can be resized"):
        load(tmp_path / "signals", size=3)


def test_whole_numbers_that_float32_cannot_hold_are_doubtful(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[2**24 + 1, 5, -7]]))
    assert Check(load_arrays(tmp_path)).doubts() == [
        "whole numbers beyond 16777216 are rounded to the 24 bits of float32"
    ]


def test_a_compression_that_only_the_picture_library_knows_is_read_by_it(tmp_path):
    one = numbers((20, 30), "uint16")
    Image.fromarray(one).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(load(tmp_path).raw[0, 0].numpy(), one)


def test_a_file_that_states_more_than_it_can_hold_is_not_believed(tmp_path):
    """The tile is cut off by its own length, not by the header's."""
    path = tmp_path / "a.tif"
    write(path, np.zeros((16, 16), np.uint16), compression="zlib")
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for i in range(struct.unpack_from("<H", content, start)[0]):
        tag = struct.unpack_from("<H", content, start + 2 + 12 * i)[0]
        if tag in (256, 257, 278):
            struct.pack_into("<HHII", content, start + 2 + 12 * i, tag, 4, 1, 15_000)
    path.write_bytes(content)
    with pytest.raises(Unusable, match="cut short or damaged"):
        tiffs.read(str(path))
    content = content.replace(struct.pack("<I", 15_000), struct.pack("<I", 60_000))
    path.write_bytes(content)
    with pytest.raises(Unusable, match="states more than 512 MiB"):
        tiffs.read(str(path))


@pytest.mark.parametrize("length", [0, 10_000])
def test_numbers_that_lie_nowhere_are_not_zeros(tmp_path, length):
    """The library reads a strip of no bytes, or one beyond the end, as if it were full of zeros or cut."""
    path = tmp_path / "a.tif"
    write(path, numbers((16, 16), "uint16"), compression="zlib")
    content = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", content, 4)[0]
    for i in range(struct.unpack_from("<H", content, start)[0]):
        tag, kind, count = struct.unpack_from("<HHI", content, start + 2 + 12 * i)
        if tag == 279:
            struct.pack_into("<HHII", content, start + 2 + 12 * i, tag, kind, count, length)
    path.write_bytes(content)
    with pytest.raises(Unusable, match="cut short or damaged"):
        tiffs.read(str(path))


def test_damaged_tiffs_are_refused_however_they_are_damaged(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "a.tif"
    ends = {"ok": 0, "refused": 0}
    for i in range(150):
        write(path, numbers((3, 20, 30), "uint16"), compression="zlib" if i % 2 else None)
        content = bytearray(path.read_bytes())
        for place in rng.integers(0, len(content), rng.integers(1, 20)):
            content[min(place, int(rng.integers(4, 400)))] = rng.integers(256)
        path.write_bytes(content[: rng.integers(1, 2 * len(content))])
        try:
            shape, dtype, array = tiffs.read(str(path))
            assert array.shape == shape and array.dtype == dtype
            ends["ok"] += 1
        except Unusable:
            ends["refused"] += 1
    assert ends["refused"] > 50


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_are_rounded_and_clipped_to_the_type_of_the_files(tmp_path, dtype):
    raw = torch.tensor([-1e20, -3.6, -0.4, 0.4, 2.6, 1e20]).reshape(1, 1, 2, 3)
    for ending in (".npy", ".tif"):
        path = Arrays(ending, dtype).save(raw, tmp_path, stem=ending[1:])[0]
        got = np.load(path) if ending == ".npy" else tifffile.imread(path)
        assert got.dtype == dtype
        if dtype == "float32":
            assert np.array_equal(got.flatten(), raw.flatten())
            continue
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        assert got.flatten().tolist() == [low, max(low, -4), 0, 0, 3, high]


@pytest.mark.parametrize("shape", [(1, 9, 11), (3, 9, 11), (1, 9, 9, 11)])
@pytest.mark.parametrize("dtype", ["uint16", "float32", "int16"])
def test_what_is_written_as_tiff_is_read_again_with_what_made_it(tmp_path, shape, dtype):
    raw = torch.from_numpy(numbers((2, *shape), dtype).astype(np.float32))
    modality = Arrays(".tif", dtype)
    paths = modality.save(raw, tmp_path / "out", info={"reverie": {"seed": 1, "who": "Zoë"}})
    assert torch.equal(load(tmp_path / "out").raw, raw)
    first = [path.read_bytes() for path in paths]
    assert [
        path.read_bytes() for path in modality.save(raw, tmp_path / "out", info={"reverie": {"seed": 1, "who": "Zoë"}})
    ] == first
    with tifffile.TiffFile(paths[0]) as file:
        assert json.loads(file.pages[0].description) == {"reverie": {"seed": 1, "who": "Zoë"}}


def test_the_modality_is_plain_data_and_refuses_what_it_does_not_know():
    from reverie import modalities

    one = Arrays(".tif", "uint16")
    assert construct("modality", modalities, Modality, describe(one)) == one
    assert construct("modality", modalities, Modality, {"name": "Arrays"}) == Arrays()
    for wrong in ({"ending": ".exe"}, {"dtype": "object"}):
        with pytest.raises(ReverieError, match="cannot be made"):
            construct("modality", modalities, Modality, {"name": "Arrays", **wrong})
    with pytest.raises(ReverieError, match="a volume of one channel"):
        one.save(torch.zeros(1, 2, 3, 4, 5), "nowhere")


def test_the_kind_of_a_folder_is_that_of_most_files(tmp_path):
    assert kind_of(tmp_path) == ""
    for i in range(2):
        write(tmp_path / f"{i}.tif", numbers((8, 8), "uint16", i))
    assert kind_of(tmp_path) == "numbers" and claiming(tmp_path) == Arrays()
    for i in range(3):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    assert kind_of(tmp_path) == "pictures" and claiming(tmp_path) == Images()
    found = load_folder(tmp_path)
    assert len(found) == 5 and found.report.changes == {"16 bits a channel to 8": 2}


def test_tiffs_of_16_bits_train_and_samples_come_back_as_such(tmp_path, monkeypatch, capsys):
    """Through the command line: the codec holds the normalisation, and samples are uint16 in the range of the data."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for i in range(24):
        cy, cx = rng.uniform(4, 12, 2)
        cell = 30_000 + rng.poisson(400, (16, 16)) + 9000 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 18)
        write(tmp_path / "cells" / f"{i:02d}.tif", cell.astype(np.uint16))
    np.save(tmp_path / "cells" / "nan.npy", np.full((16, 16), np.nan, np.float32))

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        told = capsys.readouterr()
        assert not stop.value.code, told.err
        return told

    told = call("train", "cells", "--samples", "256", "--batch", "16", "--dtype", "float32", "--out", "run",
                "--network", "unet(levels=(16, 32), blocks=1)", "--checkpoints", "1")  # fmt: skip
    assert "1 holds numbers that are NaN or infinite: nan.npy" in told.err and "numbers: uint16 from 30" in told.err
    call("sample", "run", "-n", "12", "--sample-steps", "8", "--out", "new")
    stored = np.stack([tifffile.imread(path) for path in sorted((tmp_path / "cells").glob("*.tif"))])
    made = np.stack([tifffile.imread(path) for path in sorted((tmp_path / "new").glob("*.tif"))])
    assert made.shape == (12, 16, 16) and made.dtype == np.uint16
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    codec = construct("codec", __import__("reverie.codecs").codecs, Standard, model["codec"])
    assert codec.mean == pytest.approx((stored.mean(),)) and codec.std_raw == pytest.approx((stored.std(),))
    assert model["modality"] == {"name": "Arrays", "ending": ".tif", "dtype": "uint16"}
    spread = stored.std()
    assert abs(float(made.mean()) - stored.mean()) < 2 * spread
    assert stored.min() - 4 * spread < made.min() and made.max() < stored.max() + 4 * spread
    assert made.min() > 256, "nothing was squeezed into 8 bits"
