"""Tables of pictures: parquet files, and the arrow files that Hugging Face's datasets saves."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from reverie.data.folders import load_folder
from reverie.errors import ReverieError
from reverie.modalities import load

pyarrow = pytest.importorskip("pyarrow")
N = 10


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))


def jpeg(i):
    file = io.BytesIO()
    levels = np.random.default_rng(i).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(levels).save(file, "JPEG", quality=95)
    return file.getvalue()


def table(rows=range(N), **columns):
    """As datasets makes it: pictures as {bytes, path}, and what the labels mean in the features."""
    features = {"image": {"_type": "Image"}, "label": {"names": ["dog", "cat"], "_type": "ClassLabel"}}
    made = pyarrow.table({
        "image": pyarrow.array([{"bytes": jpeg(i), "path": None} for i in rows],
                               pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})),
        "label": [i % 2 if i != 3 else -1 for i in rows],
        "text": [f"picture {i}" for i in rows],
        "hue": [i / 4 if i != 2 else None for i in rows],
        **columns,
    })  # fmt: skip
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def saved_to_disk(folder, rows=(range(6), range(6, N))):
    folder.mkdir()
    for k, some in enumerate(rows):
        made = table(some)
        with pyarrow.ipc.new_stream(str(folder / f"data-{k:05d}-of-{len(rows):05d}.arrow"), made.schema) as file:
            file.write_table(made, max_chunksize=4)
    (folder / "state.json").write_text("{}")
    (folder / "dataset_info.json").write_text("{}")
    return folder


def as_folder(folder):
    folder.mkdir()
    with open(folder / "metadata.jsonl", "w") as file:
        for i in range(N):
            (folder / f"{i:03d}.jpg").write_bytes(jpeg(i))
            label = {} if i == 3 else {"label": ("dog", "cat")[i % 2]}
            hue = {} if i == 2 else {"hue": i / 4}
            file.write(json.dumps({"file_name": f"{i:03d}.jpg", "text": f"picture {i}", **label, **hue}) + "\n")
    return load_folder(folder)


@pytest.mark.parametrize("kind", ["parquet", "several parquets", "arrow", "saved", "a file of the saved"])
def test_tables_are_what_a_folder_with_the_same_pictures_and_words_is(tmp_path, kind):
    from pyarrow import parquet

    truth, place = as_folder(tmp_path / "folder"), tmp_path / "set"
    if kind == "parquet":
        parquet.write_table(table(), place := tmp_path / "x.parquet", row_group_size=3)
    elif kind == "several parquets":
        place.mkdir()
        for k, rows in enumerate((range(4), range(4, N))):
            parquet.write_table(table(rows), place / f"train-{k}.parquet")
        place = place / "train-*.parquet"
    elif kind == "arrow":
        with pyarrow.ipc.new_file(str(place := tmp_path / "x.arrow"), table().schema) as file:
            file.write_table(table())
    else:
        saved_to_disk(place, (range(N),) if "file" in kind else (range(6), range(6, N)))
        place = place / "data-00000-of-00001.arrow" if "file" in kind else place
    ours = load(place)
    assert ours.fingerprint() == truth.fingerprint()
    assert ours.classes == ("cat", "dog") and ours.values["label"].tolist()[:4] == [1, 0, 1, -1]
    assert ours.values["scalars"][2, 0].isnan() and ours.captions == truth.captions
    assert (ours.report.found, ours.report.used, ours.report.sizes) == (N, N, {"24x20": N})


def test_rows_without_a_picture_are_named(tmp_path):
    from pyarrow import parquet

    pictures = [jpeg(i) for i in range(5)]
    made = pyarrow.table({"jpg": pyarrow.array([pictures[0], None, b"", pictures[3][:200], pictures[4]]),
                          "mask": pyarrow.array([b"x"] * 5), "size": [1, 2, 3, 4, 5]})  # fmt: skip
    parquet.write_table(made, tmp_path / "x.parquet")
    found = load(tmp_path / "x.parquet")
    assert {one.name: one.reason for one in found.report.skipped} == {
        "x.parquet:1": "a row without the bytes of a picture",
        "x.parquet:2": "empty",
        "x.parquet:3": "cut short or damaged",
    }
    assert len(found) == 2 and found.scalar_names == ("size",) and found.values["scalars"].tolist() == [[1], [5]]


def test_tables_that_are_none_or_have_no_pictures_are_refused(tmp_path):
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"x": [1, 2]}), tmp_path / "numbers.parquet")
    parquet.write_table(pyarrow.table({"a": [b"x"], "b": [b"y"]}), tmp_path / "two.parquet")
    (tmp_path / "text.parquet").write_text("no table at all " * 10)
    (tmp_path / "empty.arrow").touch()
    whole = tmp_path / "whole.parquet"
    parquet.write_table(table(), whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-40])
    for name, says in (
        ("numbers.parquet", "no column of pictures; columns: x"),
        ("two.parquet", "several columns of pictures, a, b"),
        ("text.parquet", "damaged"),
        ("empty.arrow", "damaged"),
        ("cut.parquet", "damaged"),
    ):
        with pytest.raises(ReverieError, match=says) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "two").mkdir()
    parquet.write_table(table(), tmp_path / "two" / "a.parquet")
    parquet.write_table(table().drop_columns(["hue"]), tmp_path / "two" / "b.parquet")
    with pytest.raises(ReverieError, match="different columns"):
        load(tmp_path / "two")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "dataset_dict.json").write_text("{}")
    saved_to_disk(tmp_path / "parts" / "train")
    with pytest.raises(ReverieError, match="subfolders"):
        load(tmp_path / "parts")


def test_without_the_library_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ReverieError, match="need pyarrow: pip install"):
        load(tmp_path / "x.parquet")
