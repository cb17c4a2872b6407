"""The sets known by name are what their authors published."""

import gzip
import struct
import sys

import numpy as np
import pytest
import torch

from reverie.data import builtin
from reverie.data.builtin import Builtin, fashion_mnist, load
from reverie.data.idx import read_idx
from reverie.discover import discover
from reverie.errors import MissingDependency, ReverieError


def test_digits_are_the_published_ones_and_their_split_is_fixed():
    datasets = pytest.importorskip("sklearn.datasets")
    train = load("digits")
    test = train.test
    assert (len(train), len(test), train.shape) == (1497, 300, (1, 8, 8))
    published = torch.from_numpy(datasets.load_digits().images)
    levels = torch.cat([train.raw, test.raw]).double() * 16 / 255
    assert (levels - levels.round()).abs().max() < 0.04, "every level is one of 17"
    assert sorted(map(tuple, levels.round().flatten(1).tolist())) == sorted(map(tuple, published.flatten(1).tolist()))
    assert test.values["label"].bincount().tolist() == [30, 30, 30, 31, 30, 30, 30, 30, 29, 30]
    assert load("Digits").fingerprint() == train.fingerprint() == DIGITS


DIGITS = "ef787084d547db41f3f0dac64d1dc9bb3490baa50ef9c0560b0ce4fcb8817428"


def test_digits_without_sklearn_name_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependency, match=r"pip install 'reverie\[images\]'"):
        load("digits")


def test_every_builtin_is_presented_by_its_docstring():
    found = discover(builtin, Builtin)
    assert set(found) == {"Digits", "Emoji", "Faces", "FashionMNIST"}
    assert all(cls.__doc__.split("\n")[0].endswith((".", "held out.")) for cls in found.values())


def test_a_name_nobody_knows_is_answered_with_the_nearest():
    with pytest.raises(ReverieError, match="Did you mean 'Digits'"):
        load("digit")


def test_a_missing_set_names_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion_mnist, "SYSTEM", tmp_path / "nowhere")
    with pytest.raises(ReverieError, match="reverie data get fashion_mnist"):
        load("fashion_mnist")


def idx(path, header, data):
    path.write_bytes(gzip.compress(header + data))
    return path


def test_idx_gives_back_what_was_written(tmp_path):
    data = np.arange(24, dtype=np.uint8)
    read = read_idx(idx(tmp_path / "a.gz", struct.pack(">HBB3I", 0, 8, 3, 2, 3, 4), data.tobytes()), (2, 3, 4))
    assert (read == data.reshape(2, 3, 4)).all() and read.flags.writeable


@pytest.mark.parametrize(
    ("header", "data", "reason"),
    [
        (struct.pack(">HBB1I", 0, 8, 1, 5), b"1234", "fewer bytes"),
        (struct.pack(">HBB1I", 0, 8, 1, 5), b"123456", "more bytes"),
        (struct.pack(">HBB1I", 0, 8, 1, 2**32 - 1), b"12345", "its header is"),
        (struct.pack(">HBB1I", 0, 13, 1, 5), b"12345", "its header is"),
        (b"", b"", "its header is"),
    ],
)
def test_idx_files_that_are_not_what_they_should_be_are_refused(tmp_path, header, data, reason):
    with pytest.raises(ReverieError, match=reason):
        read_idx(idx(tmp_path / "a.gz", header, data), (5,))


def test_idx_files_that_are_cut_short_missing_or_no_gzip_are_refused(tmp_path):
    path = idx(tmp_path / "a.gz", struct.pack(">HBB1I", 0, 8, 1, 5), b"12345")
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ReverieError, match="damaged"):
        read_idx(path, (5,))
    path.write_bytes(b"plain text")
    with pytest.raises(ReverieError, match="damaged"):
        read_idx(path, (5,))
    with pytest.raises(ReverieError, match="missing"):
        read_idx(tmp_path / "b.gz", (5,))
