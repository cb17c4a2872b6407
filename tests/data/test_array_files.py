"""Arrays of numbers come out as they were stored, and files that are anything else are refused before they are read."""

import io
import zipfile

import numpy as np
import pytest
import torch

from reverie.data.arrays import load_arrays
from reverie.data.check import Check
from reverie.data.npy import read_npy, read_npz
from reverie.errors import ReverieError


@pytest.mark.parametrize("shape", [(5, 2, 7), (5, 2, 4, 3), (5, 1, 4, 3, 2)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "uint8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_come_out_as_they_were(tmp_path, shape, dtype, order):
    x = np.asarray(np.random.default_rng(0).integers(0, 100, shape), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", x)
    found = load_arrays(tmp_path / "a.npy")
    assert found.raw.dtype == torch.float32 and found.modality == "Arrays" and found.name == "a"
    assert np.array_equal(found.raw.numpy(), x.astype(np.float32)) and len(found.report.notes) == 1


def test_an_npz_holds_samples_labels_and_scalars(tmp_path):
    rng = np.random.default_rng(0)
    x, age, hue = rng.normal(size=(6, 1, 4)), rng.normal(size=6), rng.normal(size=6)
    age[2] = np.nan
    y = np.array(["dog", "cat", "dog", "eel", "cat", "dog"])
    np.savez(tmp_path / "a.npz", x=x, y=y, hue=hue, age=age, other=np.zeros(5), note="text")
    found = load_arrays(tmp_path / "a.npz")
    assert found.classes == ("cat", "dog", "eel") and found.values["label"].tolist() == [1, 0, 1, 2, 0, 1]
    assert found.scalar_names == ("age", "hue")
    expected = torch.from_numpy(np.stack([age, hue], 1)).float()
    torch.testing.assert_close(found.values["scalars"], expected, rtol=0, atol=0, equal_nan=True)
    assert found.report.notes[1:] == ("note () was not used", "other (5,) was not used")


@pytest.mark.parametrize(
    ("named", "classes", "labels"),
    [
        ({"labels": np.array([3, 7, 3])}, ("3", "7"), [0, 1, 0]),
        ({"label": np.array([[1], [0], [-1]])}, ("0", "1"), [1, 0, -1]),
        ({"y": np.array([True, False, True])}, ("False", "True"), [1, 0, 1]),
        ({"y": np.array([b"b", b"a", b"a"])}, ("a", "b"), [1, 0, 0]),
        ({"y": np.array([2, 0, 0]), "classes": np.array(["p", "q", "r"])}, ("p", "q", "r"), [2, 0, 0]),
        ({"y": np.array([-1, -1, -1])}, (), None),
    ],
)
def test_labels_may_be_numbers_or_text(tmp_path, named, classes, labels):
    np.savez_compressed(tmp_path / "a.npz", data=np.zeros((3, 1, 4)), small=np.zeros((3, 2)), **named)
    found = load_arrays(tmp_path / "a.npz")
    assert found.classes == classes and found.shape == (1, 4)
    assert (found.values["label"].tolist() if labels else found.values.get("label")) == labels


def test_scalars_may_have_names(tmp_path):
    table = np.arange(6.0).reshape(3, 2)
    np.savez(
        tmp_path / "a.npz", x=np.zeros((3, 1, 4)), scalars=table, scalar_names=np.array(["hue", "size"]), y=table[:, 0]
    )
    found = load_arrays(tmp_path / "a.npz")
    assert found.scalar_names == ("hue", "size", "y") and found.values["scalars"][:, 1].tolist() == [1, 3, 5]
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 1, 4)), scalars=table)
    assert load_arrays(tmp_path / "b.npz").scalar_names == ("scalar0", "scalar1")


def test_a_folder_holds_a_sample_a_file(tmp_path):
    for name in ("b/1", "a/2", "a/10"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, np.full((2, 5), float(name[2:])))
    np.save(tmp_path / "a/odd", np.zeros((2, 6)))
    np.save(tmp_path / "a/object", np.array([{}, 1]), allow_pickle=True)
    (tmp_path / "a/notes.txt").write_text("what I did")
    (tmp_path / "a/cut.npy").write_bytes((tmp_path / "a/odd.npy").read_bytes()[:-3])
    found = load_arrays(tmp_path)
    assert found.raw[:, 0, 0].tolist() == [10, 2, 1] and found.classes == ("a", "b")
    assert found.values["label"].tolist() == [0, 0, 1]
    reasons = {one.name: one.reason for one in found.report.skipped}
    assert set(reasons) == {"a/odd.npy", "a/object.npy", "a/notes.txt", "a/cut.npy"}
    assert "where most are numbers (2, 5)" in reasons["a/odd.npy"] and "Python objects" in reasons["a/object.npy"]
    assert (found.report.found, found.report.used) == (7, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_not_finite_is_named_by_its_place(tmp_path, bad):
    x = np.zeros((4, 2, 5))
    x[2, 1, 3] = bad
    np.save(tmp_path / "a.npy", x)
    with pytest.raises(
        ReverieError, match=r"a\.npy: one number is not finite in float32, the first at index \(2, 1, 3\)"
    ):
        load_arrays(tmp_path / "a.npy")


def test_what_is_not_finite_in_a_folder_is_skipped_and_named(tmp_path):
    for name, value in (("a", 0.0), ("b", np.nan), ("c", 1e300), ("d", 1.0), ("e", -np.inf)):
        np.save(tmp_path / name, np.full((2, 5), value))
    found = load_arrays(tmp_path)
    assert found.raw[:, 0, 0].tolist() == [0, 1]
    skipped = {one.name: one.reason for one in found.report.skipped}
    assert skipped == dict.fromkeys(("b.npy", "c.npy", "e.npy"), "holds numbers that are NaN or infinite")
    with pytest.raises(ReverieError, match=r"3 holds numbers that are NaN or infinite, such as b\.npy, c\.npy"):
        Check(found).require_clean()
    for name in "ad":
        (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(ReverieError, match=r"no usable \.npy or TIFF file: 3 holds numbers that are NaN"):
        load_arrays(tmp_path)


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((5, 9), None, (1, 9)),
        ((5, 8, 9), None, (8, 9)),
        ((5, 28, 28), 2, (1, 28, 28)),
        ((5, 28, 28), 1, (28, 28)),
        ((5, 16, 4, 4), 2, (16, 4, 4)),
        ((5, 16, 4, 4), 3, (1, 16, 4, 4)),
    ],
)
def test_axes_say_what_a_shape_does_not(tmp_path, shape, axes, expected):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    assert load_arrays(tmp_path / "a.npy", axes=axes).shape == expected


@pytest.mark.parametrize(
    ("shape", "axes", "reason"),
    [
        ((5, 28, 28), None, "axes=1 for 28 channels, axes=2 for one channel"),
        ((5, 32, 32, 3), None, "if the channels come last"),
        ((5, 2, 3, 3, 3, 3), None, "more than 3 axes"),
        ((5, 2, 3), 3, "cannot have 3 axes"),
        ((5, 2, 3), 4, "1 to 3 axes"),
        ((5,), None, "no array of samples"),
        ((0, 1, 3), None, "not empty"),
    ],
)
def test_shapes_that_can_be_read_wrongly_are_refused(tmp_path, shape, axes, reason):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    with pytest.raises(ReverieError, match=reason):
        load_arrays(tmp_path / "a.npy", axes=axes)


def npy(array, **changes):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    content = file.getvalue()
    for old, new in changes.items():
        content = content.replace(old.encode(), new)
    return content


HOSTILE = [
    (npy(np.array([{}, 1])), "Python objects"),
    (npy(np.zeros(3, dtype=[("a", "f4"), ("b", "O")])), "Python objects"),
    (npy(np.zeros(3, dtype=[("a", "f4")])), "neither numbers nor text"),
    (npy(np.zeros(3, complex)), "neither numbers nor text"),
    (npy(np.zeros(300)).replace(b"(300,)", b"(9**9,)"), "damaged"),
    (npy(np.zeros(300)).replace(b"(300,), }    ", b"(30000000,), }"[:13]), "damaged"),
    (npy(np.zeros(300)).replace(b"(300,), }          ", b"(3000000000000,), }"), "at most 16 are read"),
    (npy(np.zeros(300))[:-1], "its header states 2400 bytes"),
    (npy(np.zeros(300)) + b"x", "its header states 2400 bytes"),
    (npy(np.zeros(300))[:40], "damaged"),
    (b"\x93NUMPY\x01\x00\xff\xff{", "damaged"),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", "damaged"),
    (b"\x93NUMPY\x07\x00\x10\x00{", "format 7.0"),
    (b"plain text", "not a .npy file"),
    (b"", "not a .npy file"),
]


@pytest.mark.parametrize(("content", "reason"), HOSTILE)
def test_hostile_files_are_refused_alone_and_inside_a_zip(tmp_path, monkeypatch, content, reason):
    monkeypatch.setattr(np, "load", None)
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ReverieError, match=reason):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(ReverieError, match=reason):
        read_npz(tmp_path / "a.npz")


def test_archives_that_lie_or_are_none_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((3, 1, 1000)))
    whole = path.read_bytes()
    path.write_bytes(whole.replace((24128).to_bytes(4, "little"), (2**31).to_bytes(4, "little")))
    with pytest.raises(ReverieError, match="claims more bytes"):
        read_npz(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReverieError, match="damaged"):
        read_npz(path)
    path.write_bytes(b"plain text")
    with pytest.raises(ReverieError, match="damaged"):
        read_npz(path)
    with pytest.raises(ReverieError, match="cannot be read"):
        read_npz(tmp_path / "b.npz")
    with pytest.raises(ReverieError, match="cannot be read"):
        read_npy(tmp_path / "b.npy")


@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x110000, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("order", "<>")
def test_text_is_unicode_or_refused(tmp_path, code, order):
    def text(*codes):
        return np.array(codes, f"{order}u4").view(f"{order}U1")

    x, good = np.zeros((4, 1, 3)), text(0x61, 0xD7FF, 0xE000, 0x10FFFF)
    np.savez(tmp_path / "good.npz", x=x, label=good)
    assert load_arrays(tmp_path / "good.npz").classes == ("a", "\ud7ff", "\ue000", "\U0010ffff")
    bad = text(0x61, 0x62, code, 0x63)
    np.savez(tmp_path / "a.npz", x=x, label=bad)
    np.savez(tmp_path / "b.npz", x=x, y=np.arange(4) % 2, classes=bad[1:3])
    np.savez(tmp_path / "c.npz", x=x, scalars=x[:, 0, :2], scalar_names=bad[1:3])
    np.save(tmp_path / "d.npy", bad.reshape(2, 2, order="F"))
    for name in ("a.npz", "b.npz", "c.npz", "d.npy"):
        with pytest.raises(ReverieError, match="not Unicode"):
            load_arrays(tmp_path / name)
