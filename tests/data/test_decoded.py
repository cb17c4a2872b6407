"""Pictures in archives, tables and large folders: the samples, the classes and the report of a folder that memory holds."""

import io
import json
import os
import random
import re
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reverie.data import decoded
from reverie.data.check import Check
from reverie.data.folders import load_folder
from reverie.data.sources import Pictures, pieces, present
from reverie.data.stored import Stored
from reverie.errors import ReverieError
from reverie.modalities import claiming, load

sys.path.insert(0, str(Path(__file__).parent))
import messy

SIZES = ((24, 32), (20, 20), (70, 90), (64, 64), (300, 40))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def picture(i, size=(24, 32), channels=3):
    levels = np.random.default_rng(i).integers(0, 256, (*size, channels), dtype=np.uint8)
    return Image.fromarray(levels if channels == 3 else levels[..., 0])


def photos(folder, n=12, sizes=SIZES, channels=3):
    for i in range(n):
        path = folder / ("beach" if i < n // 2 else "wood") / f"{i:04d}.{'png' if i % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i, sizes[i % len(sizes)], channels).save(path)
        path.with_suffix(".txt").write_text(f"picture {i}")
    return folder


def packed(folder, archive, *, shards=1, **options):
    """The files of a folder in archives, by name, as many in each."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    share = -(-len(names) // shards)
    archive.mkdir()
    for k in range(shards):
        with tarfile.open(archive / f"part-{k}.tar", "w", **options) as tar:
            for name in names[k * share : (k + 1) * share]:
                tar.add(folder / name, name)
    return archive


def report(data):
    """All that is said of a set, without its name, and names in archives as they were in the folder."""
    about = json.loads(re.sub(r"part-\d:", "", json.dumps(Check(data).as_dict() | {"name": ""})))
    return about | {"skipped": sorted(about["skipped"], key=lambda one: one["name"])}


def same(ours, truth):
    assert ours.fingerprint() == truth.fingerprint()
    assert ours.raw[:].equal(truth.raw) and ours.captions == truth.captions
    for a, b in zip(ours.statistics(), truth.statistics()):
        assert a.equal(b)
    assert report(ours) == report(truth)


@pytest.mark.parametrize("size", [None, 16])
def test_a_messy_folder_that_memory_does_not_hold_is_in_every_way_what_it_is_in_memory(tmp_path, size, monkeypatch):
    messy.make(tmp_path / "messy", tmp_path / "outside")
    whole = load(tmp_path / "messy", **({"size": size} if size else {}))
    monkeypatch.setenv("REVERIE_MEMORY", "0")
    ours = load(tmp_path / "messy", **({"size": size} if size else {}))
    assert isinstance(ours.raw, Stored) and not isinstance(whole.raw, Stored)
    same(ours, whole)


@pytest.mark.parametrize(
    ("sizes", "channels", "asked"),
    [(SIZES, 3, {}), (((24, 32),), 3, {}), (((8, 8),), 1, {}), (SIZES, 1, {}), (SIZES, 3, {"channels": 1}),
     (((8, 8),), 1, {"channels": 3}), (((12, 9), (9, 12)), 3, {}), (SIZES, 3, {"size": 70})],
)  # fmt: skip
def test_sizes_and_channels_are_chosen_as_in_memory(tmp_path, sizes, channels, asked, monkeypatch):
    photos(tmp_path / "photos", sizes=sizes, channels=channels)
    whole = load_folder(tmp_path / "photos", **asked)
    monkeypatch.setenv("REVERIE_MEMORY", "1e-9")
    same(load(tmp_path / "photos", **asked), whole)


def test_archives_of_a_folder_are_the_folder(tmp_path):
    folder = photos(tmp_path / "photos")
    (folder / "beach" / "cut.png").write_bytes((folder / "beach" / "0001.png").read_bytes()[:300])
    (folder / "beach" / "again.png").write_bytes((folder / "wood" / "0007.png").read_bytes())
    (folder / "wood" / "empty.jpg").touch()
    (folder / "wood" / "notes.md").write_text("what I did")
    whole = load_folder(folder)
    for place in (packed(folder, tmp_path / "one"), packed(folder, tmp_path / "three", shards=3)):
        same(load(place), whole)
        same(load(f"{place}/part-*.tar"), whole)
    same(load(tmp_path / "one" / "part-0.tar"), whole)
    assert load(tmp_path / "three").name == "three" and load(tmp_path / "one" / "part-0.tar").name == "part-0"


def test_members_of_one_key_say_the_class_the_caption_and_the_numbers(tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for i in range(6):
            for ending, content in (
                ("cls", f"{i % 3}\n".encode()),
                ("json", json.dumps({"hue": i / 8, "nested": {"a": 1}, "caption": f"c{i}"}).encode()),
                ("jpg", jpeg(picture(i))),
            ):
                add(tar, f"./{i:06d}.{ending}", content)
        add(tar, "000001.txt", b"not the caption of the .json: that of the .txt, which comes later")
    found = load(tmp_path / "set.tar")
    assert found.classes == ("0", "1", "2") and found.values["label"].tolist() == [0, 1, 2, 0, 1, 2]
    assert found.scalar_names == ("hue",) and found.values["scalars"][:, 0].tolist() == [i / 8 for i in range(6)]
    assert found.captions[0] == "c0" and found.captions[1].startswith("not the caption")
    assert (found.report.found, found.report.used) == (6, 6) and "columns not used: nested" in found.report.notes


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    return file.getvalue()


def add(tar, name, content=b"", **more):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for key, value in more.items():
        setattr(entry, key, value)
    tar.addfile(entry, io.BytesIO(content))


def test_hostile_entries_of_an_archive_are_named_and_nothing_is_unpacked(tmp_path, monkeypatch):
    good = jpeg(picture(0))
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        add(tar, "good.jpg", good)
        add(tar, "../climbs.jpg", good)
        add(tar, "/absolute.jpg", good)
        add(tar, "link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.jpg", type=tarfile.LNKTYPE, linkname="good.jpg")
        add(tar, "device.jpg", type=tarfile.CHRTYPE)
        add(tar, "pipe.jpg", type=tarfile.FIFOTYPE)
        add(tar, "folder.jpg", type=tarfile.DIRTYPE)
        add(tar, "good.jpg", jpeg(picture(1)))
        add(tar, ".hidden.jpg", good)
        add(tar, "bomb.png", messy.header(40_000, 40_000))
        add(tar, "long.png", b"\x89PNG" + bytes(5000))
        add(tar, "good.txt", bytes(70_000))
    monkeypatch.setattr("reverie.data.shards.MEMBER", 4000)
    found = load(tmp_path / "set.tar")
    assert {one.name: one.reason for one in found.report.skipped} == {
        "set:absolute.jpg": "a name that leads outside the archive",
        "../set:climbs.jpg": "a name that leads outside the archive",
        "set:link.jpg": "a link",
        "set:hard.jpg": "a link",
        "set:device.jpg": "not a regular file",
        "set:pipe.jpg": "not a regular file",
        "set:good.jpg": "a name that stands in the archive twice",
        "set:bomb.png": "more than 67 million pixels",
        "set:long.png": "longer than 4000 bytes",
    }
    assert [one.name for one in found.report.faults] == ["set:good.txt"]
    assert len(found) == 1 and {path.name for path in tmp_path.iterdir()} == {"set.tar", "cache"}


def test_archives_that_are_none_are_compressed_or_claim_too_much_are_refused(tmp_path):
    photos(tmp_path / "photos", 4)
    packed(tmp_path / "photos", tmp_path / "plain")
    with tarfile.open(tmp_path / "packed.tar", "w:gz") as tar:
        tar.add(tmp_path / "photos", "photos")
    (tmp_path / "text.tar").write_text("no archive at all " * 100)
    (tmp_path / "empty.tar").touch()
    long = bytearray(tarfile.TarInfo("x" * 300).tobuf(tarfile.GNU_FORMAT))
    long[124:136] = b"77777777777\0"  # the name alone would be 8 GiB
    long[148:156] = b"%06o\0 " % (sum(long[:148]) + 8 * 32 + sum(long[156:512]))
    (tmp_path / "name.tar").write_bytes(bytes(long))
    for name, says in (("packed", "compressed"), ("text", "not a tar archive"), ("empty", "not a tar archive"),
                       ("name", "not a tar archive")):  # fmt: skip
        with pytest.raises(ReverieError, match=says):
            load(tmp_path / f"{name}.tar")


@pytest.mark.parametrize("damage", ["cut", "garbage", "no end"])
def test_of_an_archive_that_is_damaged_what_comes_before_is_used_and_that_is_said(tmp_path, damage):
    photos(tmp_path / "photos", 6)
    path = packed(tmp_path / "photos", tmp_path / "set") / "part-0.tar"
    with tarfile.open(path) as tar:
        third, last = tar.getmembers()[4], tar.getmembers()[-1]
    content = path.read_bytes()
    if damage == "cut":
        content = content[: third.offset_data + third.size // 2]
    elif damage == "garbage":
        content = content[: third.offset] + b"\xff" * 512 + content[third.offset + 512 :]
    else:
        content = content[: last.offset_data + 512]
    path.write_bytes(content)
    found = load(tmp_path / "set")
    reasons = {one.name: one.reason for one in found.report.skipped}
    assert reasons["part-0.tar"].startswith("an archive cut short or damaged")
    assert len(found) == (6 if damage == "no end" else 2)
    with pytest.raises(ReverieError, match="strict"):
        Check(found).require_clean()


def test_bytes_flipped_anywhere_in_an_archive_never_do_more_than_lose_samples(tmp_path):
    photos(tmp_path / "photos", 4, ((8, 8),))
    path = packed(tmp_path / "photos", tmp_path / "set") / "part-0.tar"
    whole, stream, said = path.read_bytes(), random.Random(0), []
    for _ in range(30):
        content = bytearray(whole)
        with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
            headers = [one.offset for one in tar.getmembers()]
        for _ in range(stream.randint(1, 4)):
            content[stream.choice(headers) + stream.randrange(512)] ^= 1 << stream.randrange(8)
        path.write_bytes(content)
        try:
            assert len(load(tmp_path / "set")) <= 4
        except ReverieError as refused:
            said.append(str(refused))
    assert all(str(tmp_path) in one for one in said)


def test_it_is_decoded_once_and_again_only_where_a_file_changed_or_the_cache_is_damaged(tmp_path, cache, monkeypatch):
    place = packed(photos(tmp_path / "photos", 6), tmp_path / "set")
    counts = []
    kept = decoded._decode

    def counted(*arguments):
        counts.append(1)
        return kept(*arguments)

    monkeypatch.setattr(decoded, "_decode", counted)
    first = load(place).fingerprint()
    assert load(place).fingerprint() == first and len(counts) == 1
    os.truncate(next(cache.glob("*/rows")), 100)
    assert load(place).fingerprint() == first and len(counts) == 2
    next(cache.glob("*/index.json")).write_text('{"names": []}')
    assert load(place).fingerprint() == first and len(counts) == 3
    load(place, size=10)
    assert len(counts) == 4 and len(list(cache.iterdir())) == 2 and not list(cache.glob(".*"))
    (tmp_path / "photos" / "beach" / "0000.jpg").unlink()
    os.rename(place, tmp_path / "old")
    packed(tmp_path / "photos", place)
    assert load(place).fingerprint() != first and len(counts) == 5


def test_no_room_for_decoded_pictures_is_said_and_leaves_nothing(tmp_path, cache, monkeypatch):
    place = packed(photos(tmp_path / "photos", 6), tmp_path / "set")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded, "_decode", full)
    with pytest.raises(ReverieError, match=r"No space left on device.*REVERIE_CACHE"):
        load(place)
    assert not list(cache.glob("*"))


def test_parts_of_a_set_and_shards_of_two_kinds_are_not_mixed(tmp_path):
    photos(tmp_path / "photos", 4)
    for name in ("train-0", "train-1", "test-0"):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            tar.add(tmp_path / "photos" / "beach" / "0000.jpg", f"{name}.jpg")
    with pytest.raises(ReverieError, match=r"several parts of a set, test, train: name one .*test\*\.tar"):
        load(tmp_path / "*.tar")
    assert len(load(tmp_path / "train-*.tar")) == 2
    (tmp_path / "x.parquet").touch()
    with pytest.raises(ReverieError, match="several kinds"):
        pieces(tmp_path / "*[0t]*")
    assert not present(tmp_path / "nothing-*.tar") and present(tmp_path / "train-*.tar")
    with pytest.raises(ReverieError, match="does not exist"):
        load(tmp_path / "nothing-*.tar")
    os.rename(tmp_path / "test-0.tar", tmp_path / "photos" / "old.tar")
    found = load(tmp_path / "photos")  # pictures, whatever lies beside them
    assert len(found) == 4 and [one.name for one in found.report.skipped] == ["old.tar"]
    assert type(claiming(tmp_path / "train-*.tar")).__name__ == "Images"


def test_a_folder_of_many_pictures_is_decoded_with_few_of_them_in_memory(tmp_path, monkeypatch):
    folder = photos(tmp_path / "photos", 100, ((20, 20),))
    alive, most = set(), [0]
    kept = decoded.decoded

    def counted(place, size, side):
        found = kept(place, size, side)
        levels = np.array(found.levels)

        class Counted(np.ndarray):
            def __del__(self):
                alive.discard(id(self))

        levels = levels.view(Counted)
        alive.add(id(levels))
        most[0] = max(most[0], len(alive))
        return found._replace(levels=levels)

    monkeypatch.setattr(decoded, "decoded", counted)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    found = decoded.load_source(Pictures(folder), 20, None)
    assert len(found) == 100 and 0 < most[0] <= 4 * decoded.CHUNK
