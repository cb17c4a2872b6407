"""Captions go with their pictures, and what is wrong with them is said line by line; no name leads out of the folder."""

import json
import math
import random

import pytest
import torch

from reverie.cli import main
from reverie.data import Dataset
from reverie.data.arrays import load_arrays
from reverie.data.check import Check
from reverie.data.folders import load_folder
from reverie.errors import ReverieError


def pictures(folder, *names):
    from PIL import Image

    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i * 9 % 256, i, 255 - i)).save(folder / name)


def table(folder, *entries, name="metadata.jsonl"):
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in entries]
    (folder / name).write_bytes(b"\n".join(lines))


def faults(dataset):
    return {one.name: one.reason for one in dataset.report.faults}


def test_a_table_gives_captions_classes_and_numbers(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png", "sub/d.png")
    table(
        tmp_path,
        {"file_name": "c.png", "text": "a  red\n fox ", "age": 3, "label": "fox", "url": "x"},
        {"file_name": "a.png", "caption": "ein Bär", "age": 1.5, "label": "bear", "ok": True},
        {"file_name": "sub/d.png", "text": "a fox", "age": None, "hue": math.nan, "label": "fox"},
        {"file_name": "b.png", "text": None, "hue": 0.25},
    )
    found = load_folder(tmp_path)
    assert found.captions == ("ein Bär", "", "a red fox", "a fox")
    assert found.classes == ("bear", "fox") and found.values["label"].tolist() == [0, -1, 1, 1]
    assert found.scalar_names == ("age", "hue")
    expected = torch.tensor([[1.5, math.nan], [math.nan, 0.25], [3, math.nan], [math.nan, math.nan]])
    torch.testing.assert_close(found.values["scalars"], expected, equal_nan=True, rtol=0, atol=0)
    assert (found.report.found, found.report.used) == (4, 4)
    assert (
        faults(found) == {"metadata.jsonl:4": "its text is no text"}
        and "columns not used: ok, url" in found.report.notes
    )
    assert "1 of 4 samples have no caption" in found.report.doubts
    assert "captions: 3 of 4 samples have one; files in UTF-8 (1)" in Check(found).lines()


def test_numbered_labels_are_in_the_order_of_their_numbers_and_subfolders_come_first(tmp_path):
    pictures(tmp_path, *(f"{i}.png" for i in range(12)))
    table(tmp_path, *({"file_name": f"{i}.png", "label": i} for i in range(12)))
    assert load_folder(tmp_path).classes == tuple(str(i) for i in range(12))
    assert load_folder(tmp_path).captions == ()
    pictures(tmp_path / "set", "cat/a.png", "dog/b.png")
    table(tmp_path / "set", {"file_name": "cat/a.png", "label": 7})
    assert load_folder(tmp_path / "set").classes == ("cat", "dog")
    assert "the label column is not used: the subfolders are the classes" in load_folder(tmp_path / "set").report.notes


def test_a_table_in_a_subfolder_names_its_own_files(tmp_path):
    pictures(tmp_path, "cat/a.png", "dog/a.png")
    table(tmp_path / "dog", {"file_name": "a.png", "text": "a dog"})
    assert load_folder(tmp_path).captions == ("", "a dog")


BAD = [
    (b"{not json", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b'{"file_name": "a.png", "text": "\xff"}', "not UTF-8"),
    (["a.png", "text"], "not an object with a file_name"),
    ({"text": "whose?"}, "not an object with a file_name"),
    ({"file_name": 3, "text": "x"}, "not an object with a file_name"),
    ({"file_name": "nowhere.png", "text": "x"}, "names a file that is not there"),
    ({"file_name": "../a.png", "text": "x"}, "names a file outside the folder, which is not looked at"),
    ({"file_name": "sub/../../a.png", "text": "x"}, "names a file outside the folder, which is not looked at"),
    ({"file_name": "/etc/passwd", "text": "x"}, "names a file outside the folder, which is not looked at"),
    ({"file_name": "C:\\a.png", "text": "x"}, "names a file outside the folder, which is not looked at"),
    ({"file_name": "a\0.png", "text": "x"}, "names a file that is not there"),
    ({"file_name": "metadata.jsonl", "text": "x"}, "names a file that is not there"),
    ({"file_name": "a.png", "text": 7}, "its text is no text"),
    ({"file_name": "a.png", "text": ["x"]}, "its text is no text"),
    ({"file_name": "a.png", "text": " \n"}, "an empty caption"),
    ({"file_name": "a.png", "text": "\ud800"}, "not text"),
    ({"file_name": "a.png", "age": 1e300}, "a number that is not finite"),
    (b'{"file_name": "a.png", "age": Infinity}', "a number that is not finite"),
    (b'{"file_name": "a.png", "age": 1' + b"0" * 400 + b"}", "a number that is not finite"),
    (b'{"file_name": "a.png", "age": 1' + b"0" * 5000 + b"}", "not JSON"),
    (b'{"file_name": "a.png", "text": "' + b"x" * 2**20 + b'"}', "longer than 1 MiB"),
]


@pytest.mark.parametrize(("line", "reason"), BAD, ids=range(len(BAD)))
def test_a_line_that_cannot_be_used_is_named_and_the_others_are_used(tmp_path, line, reason):
    pictures(tmp_path / "set", "a.png", "b.png")
    pictures(tmp_path, "a.png")
    table(tmp_path / "set", line, b"", {"file_name": "b.png", "text": "b"})
    found = load_folder(tmp_path / "set")
    assert faults(found) == {"metadata.jsonl:1": reason}
    assert found.captions == ("", "b") and found.scalar_names == () and len(found) == 2


def test_a_file_that_is_named_twice_keeps_its_first_caption(tmp_path):
    pictures(tmp_path, "a.png")
    table(tmp_path, *({"file_name": "a.png", "text": text} for text in ("one", "two")))
    found = load_folder(tmp_path)
    assert found.captions == ("one",) and faults(found) == {"metadata.jsonl:2": "names a file for the second time"}


def test_text_files_beside_pictures_are_captions_in_any_common_encoding(tmp_path):
    pictures(tmp_path, *(f"{name}.png" for name in "abcdefgh"))
    for name, content in {
        "a": "ein Bär".encode(), "b": "ein Bär".encode("utf-16"), "c": "ein Bär".encode("cp1252"),
        "d": b"\xef\xbb\xbfwith a mark\r\nand lines\r\n", "e": b"", "f": b"\0\1", "g": b"x" * 70_000, "notes": b"mine",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.txt").write_bytes(content)
    (tmp_path / "h.txt").symlink_to("/etc/hostname")
    found = load_folder(tmp_path)
    assert found.captions == ("ein Bär",) * 3 + ("with a mark and lines",) + ("",) * 4
    assert faults(found) == {
        "e.txt": "empty",
        "f.txt": "not text",
        "g.txt": "longer than 64 KiB, so no caption",
        "h.txt": "a link that leads outside the folder",
    }
    assert found.report.encodings == {"UTF-8": 2, "UTF-16": 1, "Windows-1252": 1}
    assert [one.name for one in found.report.skipped] == ["notes.txt"] and found.report.found == 9
    lines = Check(found).lines()
    assert any(line.startswith("captions: 4 of 8 samples have one, 2 are copies of others") for line in lines)
    assert "doubtful: 1 caption file is not UTF-8, and read as Windows-1252" in lines
    assert any(doubt.startswith("4 captions not used: 1 empty") for doubt in Check(found).doubts())


def test_where_both_say_something_the_table_counts(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    table(tmp_path, {"file_name": "a.png", "text": "of the table"}, {"file_name": "b.png", "text": "same"})
    (tmp_path / "a.txt").write_text("of the file")
    (tmp_path / "b.txt").write_text("same\n")
    found = load_folder(tmp_path)
    assert found.captions == ("of the table", "same")
    assert faults(found) == {"a.txt": "metadata.jsonl has another caption, which is used"}


def test_captions_of_skipped_pictures_go_with_them(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    table(tmp_path, *({"file_name": f"{name}.png", "text": name} for name in "abc"))
    (tmp_path / "b.png").write_bytes(b"damaged")
    assert load_folder(tmp_path).captions == ("a", "c")


def test_arrays_have_captions_too(tmp_path):
    import numpy as np

    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.ones((1, 5)))
        (tmp_path / f"{name}.txt").write_text(f"array {name}")
    found = load_arrays(tmp_path)
    assert found.captions == ("array a", "array b") and found.report.skipped == ()


def test_captions_follow_their_samples_through_take_and_split():
    raw = torch.arange(20, dtype=torch.uint8).reshape(20, 1, 1, 1)
    data = Dataset("x", raw, captions=tuple(f"picture {i}" for i in range(20)))
    assert data.take([3, 1, 3, -1]).captions == ("picture 3", "picture 1", "picture 3", "picture 19")
    for part in data.split(5, seed=1):
        assert part.captions == tuple(f"picture {i}" for i in part.raw.flatten().tolist())
    with pytest.raises(ReverieError, match="19 captions for 20 samples"):
        Dataset("x", raw, captions=data.captions[1:])


def test_the_fingerprint_knows_captions_and_is_as_ever_without():
    raw = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    plain = Dataset("x", raw).fingerprint()
    assert plain == "c283eaae4d38968528ddfd34c391c6106902f4bd24873f694594eccb3a1c7a56", "runs know their data by it"
    one, two = (Dataset("x", raw, captions=(text, "b")).fingerprint() for text in ("a", "c"))
    assert len({plain, one, two}) == 3 and Dataset("y", raw, captions=("a", "b")).fingerprint() == one


def test_no_table_of_random_bytes_does_more_than_be_reported(tmp_path):
    """Lines are cut, spliced and changed at random; each is used or named."""
    pictures(tmp_path, "a.png", "b.png")
    rng = random.Random(0)
    good = [json.dumps({"file_name": "a.png", "text": "x", "n": [1, {"y": None}]}), '{"file_name": "b.png", "m": 2e5}']
    lines = []
    for _ in range(400):
        content = bytearray(rng.choice(good).encode())
        for _ in range(rng.randrange(4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        lines.append(bytes(content[: rng.randrange(1, len(content) + 1)]))
    table(tmp_path, *lines)
    found = load_folder(tmp_path)
    assert len(found) == 2 and len(found.report.faults) > 300


def test_a_captioned_folder_trains_and_says_that_captions_are_not_used(tmp_path, capsys):
    pictures(tmp_path / "set", *(f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(8)))
    table(tmp_path / "set", *({"file_name": f"cat/{i}.png", "text": f"cat {i}"} for i in range(8)))
    with pytest.raises(SystemExit) as stop:
        main(["train", str(tmp_path / "set"), "--samples", "32", "--batch", "16", "--dtype", "float32", "--network",
              "unet(levels=(16, 32), blocks=1)", "--checkpoints", "1", "--out", str(tmp_path / "run")])  # fmt: skip
    said = capsys.readouterr().err
    assert not stop.value.code, said
    assert "captions: 8 of 16 samples have one" in said and "the captions are not used by this recipe" in said
    assert json.loads((tmp_path / "run" / "model.json").read_text())["conditioner"]["classes"] == ["cat", "dog"]
