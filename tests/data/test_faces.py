"""Drawn faces: captions that tell what is drawn, pairs that training never has, the same bytes again."""

import itertools

import pytest
import torch

pytest.importorskip("dicebear")
pytest.importorskip("resvg_py")

from reverie.data.builtin import faces
from reverie.errors import MissingDependency, ReverieError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield faces.pictures(64, count=40, held_out=12)


def test_captions_tell_the_face_and_nothing_else(data):
    for caption in (*data.captions, *data.test.captions):
        assert faces.caption(faces.told(caption)) == caption
    first = faces.told("an afraid person with a bun, sunglasses, brown skin and an orange shirt")
    assert first == {
        "expression": "afraid",
        "head": "a bun",
        "beard": "",
        "glasses": "sunglasses",
        "skin": "brown",
        "shirt": "orange",
    }
    for text in (
        "a cat",
        "a afraid person with a bun, brown skin and a red shirt",
        "a calm person with a bun, brown skin and a cat shirt",
    ):
        with pytest.raises(ReverieError, match="tells no face"):
            faces.told(text)


def test_a_tenth_of_the_pairs_never_comes_together_in_training_and_always_beyond_it():
    total = sum(len(one) * len(other) for one, other in itertools.combinations(faces.ATTRIBUTES.values(), 2))
    assert len(faces.apart()) == round(total / 10)
    train, test = faces.chosen(1000, 0, apart=False), faces.chosen(200, 1, apart=True)
    assert not any(faces.kept_apart(face) for face in train) and all(faces.kept_apart(face) for face in test)
    for name, known in faces.ATTRIBUTES.items():  # each value alone is learned
        assert {face[name] for face in train} == set(known)
    seen = {pair for face in train for pair in itertools.combinations([f"{n} {face[n]}" for n in faces.ATTRIBUTES], 2)}
    assert len(seen) > 0.8 * (total - len(faces.apart()))


def test_they_are_drawn_as_told(data):
    """Shirts and skins of a colour are there in the pictures, and of no other."""
    shirts = {name: torch.tensor([int(code[i : i + 2], 16) for i in (1, 3, 5)]) for name, code in faces.SHIRTS.items()}
    for raw, caption in zip(data.raw[:20], data.captions):
        area = {
            name: ((raw.int() - colour[:, None, None]).abs().amax(0) < 6).sum().item()
            for name, colour in shirts.items()
        }
        assert max(area, key=area.get) == faces.told(caption)["shirt"]
    assert (data.raw[:, :, 0, 0] == 255).all()


def test_the_same_again_from_the_cache_or_not(data, tmp_path, monkeypatch):
    again = faces.pictures(64, count=40, held_out=12)
    assert again.fingerprint() == data.fingerprint()
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    fresh = faces.cached(faces.chosen(5, 0, apart=False))
    assert torch.equal(fresh, data.raw[:5])
    small = faces.pictures(32, count=5, held_out=1)
    assert small.raw.shape == (5, 3, 32, 32)
    mean = torch.nn.functional.avg_pool2d(data.raw[:5].float(), 2)
    assert (small.raw - mean).abs().max() <= 0.5


def test_without_what_draws_them_the_command_that_installs_it_is_said(tmp_path, monkeypatch):
    import sys

    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "dicebear", None)
    with pytest.raises(MissingDependency, match=r"reverie\[faces\]"):
        faces.pictures(32, count=1, held_out=1)
    with pytest.raises(ReverieError, match="16, 32 or 64"):
        faces.pictures(48)
