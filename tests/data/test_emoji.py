"""Emoji under their names: every one where it is on the sheet, and no concept on both sides."""

from collections import Counter

import pytest
import torch

from reverie.data.builtin import emoji
from reverie.data.get import fetched
from reverie.errors import ReverieError

NEEDED = ("emoji_google", "emoji_names")
here = pytest.mark.skipif(not all(map(fetched, NEEDED)), reason="reverie data get emoji")


@pytest.fixture(scope="module")
def data():
    return emoji.pictures()


@here
def test_there_are_as_many_as_are_said_and_each_has_a_name(data):
    assert len(data) + len(data.test) == 2 * 3786 and data.shape == (3, 32, 32)
    assert all(data.captions) and all(data.test.captions)
    assert data.captions[0].split(",")[0] == data.captions[1].split(",")[0]


@here
@pytest.mark.parametrize(
    ("name", "colour"),
    [("red heart", (220, 60, 60)), ("green circle", (120, 180, 60)), ("blue square", (40, 120, 220))],
)
def test_what_a_name_says_is_what_is_seen(data, name, colour):
    whole = [*zip(data.captions, data.raw), *zip(data.test.captions, data.test.raw)]
    (seen, *_) = [raw for caption, raw in whole if caption == name]
    middle = seen[:, 12:20, 12:20].float().mean((1, 2))
    assert (middle - torch.tensor(colour)).abs().max() < 60, middle


@here
def test_all_tones_and_genders_of_a_concept_are_on_one_side(data):
    def named(part):  # "woman" and the like name many concepts, by their hair
        found = (caption.split(":")[0].replace("woman ", "man ") for caption in part.captions if "skin tone" in caption)
        return set(found) - {"man", "woman", "person"}

    assert len(named(data)) > 100 and len(named(data.test)) > 5
    assert not named(data) & named(data.test)
    assert 0.05 < len(data.test) / (len(data) + len(data.test)) < 0.15


@here
def test_even_out_what_has_tones_against_what_has_none(data):
    labels, tagged, found = data.captions[::2], data.captions[1::2], emoji.even(data)
    expected = Counter(label for label in labels if "skin tone" in label)
    for label, more in zip(labels, tagged):
        expected.update([label, label, more] if "skin tone" not in label else [])
    assert Counter(found.captions) == expected and found.test is data.test
    known = dict(zip(labels, data.raw[::2]))
    for i in range(0, len(found), 97):
        if (label := found.captions[i]) in known:
            assert torch.equal(found.raw[i], known[label])
    assert sum("skin tone" in label for label in found.captions) < len(found) / 3


@pytest.mark.parametrize(
    ("code", "concept"),
    [("1F44B-1F3FD", "1F44B"), ("1F3C3-1F3FB-200D-2640-FE0F", "1F3C3"), ("1F468-200D-1F373", "1F9D1-1F373"),
     ("1F469-1F3FE-200D-1F373", "1F9D1-1F373"), ("1F1E6-1F1F1", "1F1E6-1F1F1")],
)  # fmt: skip
def test_a_concept_is_a_code_less_tones_and_genders(code, concept):
    assert emoji.concept(code) == concept


def test_other_styles_and_sizes_are_refused_in_a_line():
    with pytest.raises(ReverieError, match="google or twitter at 16, 32 or 64"):
        emoji.pictures("apple")


def test_a_machine_without_them_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    with pytest.raises(ReverieError, match="reverie data get emoji"):
        emoji.pictures()
