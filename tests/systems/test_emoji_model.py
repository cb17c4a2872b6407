"""The model of emoji that ships: what it is asked for is what is seen."""

import pytest
import torch
from commands import called, refused

import reverie
from reverie.data.builtin import emoji
from reverie.data.get import fetched
from reverie.data.stored import held
from reverie.metrics.base import Population
from reverie.metrics.retrieval import Retrieval

reads = pytest.mark.skipif(not fetched("minilm"), reason="reverie data get minilm")
knows = pytest.mark.skipif(
    not all(map(fetched, ("minilm", "emoji_google", "emoji_names"))), reason="reverie data get emoji"
)


@reads
@pytest.mark.parametrize(
    ("prompt", "colour"),
    [("red heart", (244, 67, 54)), ("green apple", (135, 194, 68)), ("blue heart", (25, 118, 210))],
)
def test_the_colour_is_that_of_the_emoji_of_that_name(prompt, colour):
    made = reverie.load("emoji").generate(4, condition=prompt, sample_steps=12).raw
    assert made.shape == (4, 3, 32, 32)
    seen = made[:, :, 12:20, 12:20].float().mean((2, 3))
    assert ((seen - torch.tensor(colour)).abs().amax(1) < 30).all(), seen


@knows
def test_a_matcher_that_never_saw_its_style_finds_the_names_of_what_it_draws():
    """Of 120 labels that it learned: the benchmark has about .38 on 600, so .2 is four standard errors below; chance is .01."""
    data = emoji.pictures("google", 32, tagged=False)
    plain = torch.tensor([i for i, caption in enumerate(data.captions) if "skin tone" not in caption])
    rows = plain[torch.arange(120) * len(plain) // 120]
    labels = tuple(data.captions[i] for i in rows.tolist())
    made = reverie.load("emoji").generate(120, condition=list(labels), sample_steps=12).raw
    real = Population(raw=held(data.raw)[rows], prompts=labels)
    found = Retrieval().measure(Population(raw=made, prompts=labels), real)
    assert found["r_precision_1"] > 0.2 and found["r_precision_of_real_1"] > 0.2, found


@reads
def test_it_is_sampled_and_replayed_by_name(tmp_path):
    called("sample", "emoji", "--prompt", "red heart", "-n", 2, "--sample-steps", 4, "--out", tmp_path / "made")
    assert "2 of 2 match" in called("replay", tmp_path / "made" / "samples.json")


def test_without_what_reads_prompts_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "empty"))
    said = refused("sample", "emoji", "--prompt", "red heart", "--out", tmp_path / "made")
    assert "reverie data get minilm" in said and not (tmp_path / "made").exists()
