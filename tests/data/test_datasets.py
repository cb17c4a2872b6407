"""A data set knows exactly what it is, and every function of it is a function of its content."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from reverie.data import Dataset
from reverie.errors import ReverieError


def pictures(n=60, classes=3):
    raw = torch.randint(0, 256, (n, 2, 4, 5), dtype=torch.uint8)
    label = torch.arange(n) % classes
    return Dataset("some", raw, {"label": label}, tuple("abcdefgh"[:classes]))


def test_a_fingerprint_sees_every_byte_and_no_name():
    one = pictures()
    changes = [
        replace(
            one, raw=one.raw.clone().index_put_((torch.tensor(59), *[torch.tensor(0)] * 3), one.raw[59, 0, 0, 0] + 1)
        ),
        replace(one, raw=one.raw.reshape(60, 2, 5, 4)),
        replace(one, raw=one.raw.float()),
        replace(one, values={"label": one.values["label"].flip(0)}),
        replace(one, classes=("a", "b", "d")),
        replace(one, values={}),
        one.take(list(range(59))),
    ]
    prints = {each.fingerprint() for each in [one, *changes]}
    assert len(prints) == len(changes) + 1
    assert replace(one, name="other", licence="x", source="y").fingerprint() == one.fingerprint()
    strided = replace(one, raw=one.raw.transpose(0, 1).contiguous().transpose(0, 1))
    assert strided.fingerprint() == one.fingerprint()


@pytest.mark.parametrize("held_out", [1, 7, 30, 59])
def test_a_split_is_a_partition_that_keeps_proportions_and_order(held_out):
    whole = pictures()
    whole.values["place"] = torch.arange(60)
    train, test = whole.split(held_out, seed=5)
    places = [part.values["place"].tolist() for part in (train, test)]
    assert len(test) == held_out and sorted(places[0] + places[1]) == list(range(60))
    assert all(place == sorted(place) for place in places)
    counts = test.values["label"].bincount(minlength=3)
    assert counts.max() - counts.min() <= 1
    assert torch.equal(test.raw, whole.raw[test.values["place"]])
    again = whole.split(held_out, seed=5)[1]
    assert again.fingerprint() == test.fingerprint()
    assert len({whole.split(held_out, seed)[1].fingerprint() for seed in range(10)}) > 1


def test_a_split_of_unequal_classes_gives_each_its_share():
    label = torch.tensor([0] * 80 + [1] * 15 + [2] * 5)
    whole = Dataset("uneven", torch.zeros(100, 1, 1), {"label": label}, ("a", "b", "c"))
    assert whole.split(20)[1].values["label"].bincount().tolist() == [16, 3, 1]
    unlabelled = Dataset("none", torch.rand(100, 1, 1))
    assert [len(part) for part in unlabelled.split(20)] == [80, 20]


@pytest.mark.parametrize("held_out", [0, 60, -1])
def test_a_split_with_an_empty_part_is_refused(held_out):
    with pytest.raises(ReverieError, match="60 samples: hold out between 1 and 59"):
        pictures().split(held_out)


def test_statistics_are_those_of_float64_for_large_offsets_too():
    raw = torch.randn(5000, 3, 7) + torch.tensor([0.0, 1e4, -1e4])[:, None]
    mean, std = Dataset("far", raw, modality="Arrays").statistics()
    assert mean.dtype == std.dtype == torch.float64
    torch.testing.assert_close(mean, raw.double().mean((0, 2)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(std, raw.double().std((0, 2), correction=0), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"raw": torch.zeros(60, 4)}, "must be"),
        ({"raw": torch.zeros(0, 1, 4), "values": {}}, "not empty"),
        ({"values": {"label": torch.zeros(59, dtype=torch.int64)}}, "59 values of 'label' for 60 samples"),
        ({"classes": ("a", "b")}, "-1 to 1"),
        ({"values": {"scalars": torch.zeros(60, 2)}, "scalar_names": ("hue",)}, "1 names"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, reason):
    with pytest.raises(ReverieError, match=reason):
        replace(pictures(), **change)


def test_importing_data_loads_no_picture_library_and_no_sklearn():
    code = (
        "import reverie.data.builtin, reverie.codecs, reverie.conditioning, reverie.modalities, sys;"
        "from reverie import discover; from reverie.modalities import Modality;"
        "print(list(discover.discover(reverie.modalities, Modality)));"
        "print([m for m in ('PIL', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['Arrays', 'Images']", "[]"]
