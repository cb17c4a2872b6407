"""Pictures from prompts: a folder of captioned pictures becomes a run that reads text, from one command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import called, refused
from PIL import Image

pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parents[1] / "conditioning"))

from small_text import put

import reverie
from reverie.errors import ReverieError
from reverie.recipes.networks import network_for
from reverie.recipes.text_to_image import Emoji, Faces, TextToImage
from reverie.systems.described import sketched

NETWORK = "unet(levels=(16, 32), blocks=1, groups=8, head_size=16, attention=(False, True))"
SMALL = [
    "--samples",
    "4096",
    "--warmup",
    "256",
    "--network",
    NETWORK,
    "--dtype",
    "float32",
    "--compile",
    "off",
    "--sample-steps",
    "6",
]
LEVELS = {"dark": 30, "bright": 220}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of dark and bright pictures whose captions say so, an encoder in a cache, and the run that learned them."""
    folder = tmp_path_factory.mktemp("text")
    put(folder / "cache")
    (folder / "pictures").mkdir()
    draw = np.random.default_rng(0)
    for i in range(64):
        word, level = list(LEVELS.items())[i % 2]
        levels = (level + draw.normal(0, 8, (8, 8, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / "pictures" / f"{i}.png")
        (folder / "pictures" / f"{i}.txt").write_text(f"a {word} heart")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_CACHE", str(folder / "cache"))
        done = called("train", "text_to_image", str(folder / "pictures"), *SMALL, "--out", str(folder / "run"))
        assert "reverie sample" in done
        yield folder


def test_what_is_asked_for_is_seen(place):
    system = reverie.load(place / "run")
    bright, dark = (system.generate(8, condition=f"a {word} heart").raw.float().mean() for word in ("bright", "dark"))
    assert bright > dark + 60, (bright, dark)
    assert (system.describe()["conditioner"]["encoders"][0]["sha256"]) != ""


def test_away_from_itself_a_prompt_is_unguided_and_away_from_another_it_is_not(place):
    system = reverie.load(place / "run")
    asked = dict(condition="a dark heart")
    plain = system.generate(4, **asked, scale=1.0).raw.float()
    same, other = (system.generate(4, **asked, guidance=f"extrapolated(scale=3.0, weak='a {word} heart')").raw.float()
                   for word in ("dark", "bright"))  # fmt: skip
    assert (same - plain).abs().max() <= 1 < (other - plain).abs().max()


def test_samples_say_their_prompt_and_are_replayed(place, monkeypatch):
    monkeypatch.chdir(place)
    called("sample", "run", "-n", "2", "--prompt", "a dark heart", "--prompt", "a bright cat", "--out", "made")
    listed = json.loads((place / "made" / "samples.json").read_text())
    assert [one["condition"] for one in listed] == [{"prompt": "a dark heart"}, {"prompt": "a bright cat"}]
    assert "2 of 2 match" in called("replay", "made/samples.json")
    done = called("sample", "run", "-n", "1", "--prompt", "a cat", "--negative-prompt", "dark", "--out", "away")
    assert "1 samples" in done and "2 of 2" not in done
    assert "same" in called("replay", "away/00000.png")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sample", "run"], "say --prompt"),
        (["sample", "run", "--label", "cat"], "--prompt 'cat'"),
        (["sample", "run", "--label", "cat", "--prompt", "a cat"], "not both"),
        (["sample", "digits", "--prompt", "a cat"], "reads no text"),
        (["sample", "digits", "--negative-prompt", "a cat"], "reads no text"),
        (["sample", "run", "--prompt", "a", "--negative-prompt", "b", "--scale", "1"], "scale 1 is no guidance"),
        (["sample", "run", "--prompt", "x" * 3000], "up to 2048 bytes"),
        (["train", "text_to_image", "nowhere"], "not a folder of pictures"),
        (["train", "text_to_image", "pictures", "--encoder", "nobody"], "reverie data get nobody"),
        (["train", "text_to_image", "plain"], "has no captions"),
    ],
    ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else "",
)
def test_a_mistake_is_said_in_a_line(arguments, says, place, monkeypatch):
    monkeypatch.chdir(place)
    if not (place / "plain").exists():
        (place / "plain").mkdir()
        for i in range(4):
            Image.new("RGB", (8, 8), (i, 0, 0)).save(place / "plain" / f"{i}.png")
    before = sorted(path.name for path in place.iterdir())
    assert says in refused(*arguments)
    assert sorted(path.name for path in place.iterdir()) == before


def test_a_metric_of_prompts_is_told_what_was_asked_and_what_is_said_of_real_pictures(place, tmp_path, monkeypatch):
    from reverie.metrics.retrieval import Retrieval

    told = {}

    def measure(self, samples, reference, train=None):
        told["samples"], told["reference"] = samples.prompts, reference.prompts
        return {"r_precision_1": 0.5}

    monkeypatch.setattr(Retrieval, "measure", measure)
    shown = called("evaluate", place / "run", "-n", 6, "--sample-steps", 1, "--metric", "retrieval", "--extractor", "pixels",
                   "--out", tmp_path / "found.json")  # fmt: skip
    assert "r_precision_1" in shown and len(told["samples"]) == 6
    assert set(told["samples"]) == {"a dark heart", "a bright heart"} and told["reference"][:6] == told["samples"]


def test_faces_are_learned_from_captions_that_tell_what_they_are_made_of(place, tmp_path, monkeypatch):
    pytest.importorskip("dicebear")
    pytest.importorskip("resvg_py")
    from functools import partial

    from reverie.data.builtin import faces

    monkeypatch.setenv("REVERIE_CACHE", str(place / "cache"))
    monkeypatch.setattr(faces, "pictures", partial(faces.pictures, count=24, held_out=8))
    brief = ["--samples", "64", "--warmup", "32", "--network", NETWORK, "--dtype", "float32", "--compile", "off"]
    brief += ["--checkpoints", "1", "--snapshots", "1"]
    with pytest.raises(ReverieError, match="reads up to 32 tokens, and 40 are asked for"):
        called("train", "faces", *brief, "--size", "16", "--out", str(tmp_path / "no"))
    called("train", "faces", *brief, "--size", "16", "--tokens", "32", "--out", str(tmp_path / "run"))
    asked = "a calm person with a bun, dark skin and a red shirt"
    called("sample", tmp_path / "run", "--prompt", asked, "-n", 2, "--sample-steps", 2, "--out", tmp_path / "made")
    told = json.loads((tmp_path / "made" / "samples.json").read_text())
    assert [one["condition"]["prompt"] for one in told] == [asked] * 2
    about = json.loads((tmp_path / "run" / "model.json").read_text())["about"]
    assert about["licence"].startswith("CC0") and about["name"] == "faces_16"


@pytest.mark.parametrize("kind", [TextToImage, Emoji, Faces])
@pytest.mark.parametrize("shape", [(3, 64, 64), (3, 32, 32), (3, 16, 16), (4, 8, 8), (16, 4, 4), (4, 2, 2)])
def test_the_network_that_sides_call_for_reads_tokens_at_every_size(kind, shape):
    network = sketched(network_for(shape, kind().usual(shape), {"tokens": 32, "scalars": 32}))
    assert any("cross" in name for name, _ in network.named_parameters())
    assert network.patch == ((1, 1) if max(shape[1:]) <= 8 else (2, 2))
