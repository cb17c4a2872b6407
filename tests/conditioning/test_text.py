"""Prompts: rows of bytes, encoded once, withheld at random, and nothing said by no token."""

import sys
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parent))

from small_text import WIDTH, put  # noqa: E402

from reverie import conditioning  # noqa: E402
from reverie.conditioning.base import Conditioner  # noqa: E402
from reverie.conditioning.encoders import Encoder  # noqa: E402
from reverie.conditioning.text import LONGEST, Text, packed, unpacked  # noqa: E402
from reverie.core.noise import Seeded  # noqa: E402
from reverie.discover import construct, describe  # noqa: E402
from reverie.errors import ReverieError, ReverieWarning  # noqa: E402

PROMPTS = ["a red heart", "the blue cat", "", "a red heart"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    put(folder)
    return folder


@pytest.fixture
def text(cache, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(cache))
    return Text((Encoder(length=8),), WIDTH, dropout=0.5)


@pytest.mark.parametrize("texts", [["héart ❤", "", "a"], ["x" * LONGEST]])
def test_prompts_are_rows_of_bytes_and_come_back(texts):
    rows = packed(texts)
    assert rows.dtype == torch.uint8 and len(rows) == len(texts) and unpacked(rows) == texts
    assert unpacked(rows[torch.tensor([len(texts) - 1])]) == texts[-1:]


@pytest.mark.parametrize("wrong", ["x" * (LONGEST + 1), "a\0b"])
def test_what_is_no_prompt_is_refused(wrong):
    with pytest.raises(ReverieError, match="a prompt is text of up to"):
        packed([wrong])


def test_tokens_are_those_of_the_network_and_padding_does_not_count(text, cache):
    found = text(text.parse(PROMPTS))
    network = transformers.BertModel.from_pretrained(cache / "data" / "minilm").eval()
    words = transformers.BertTokenizer.from_pretrained(cache / "data" / "minilm")("a red heart", return_tensors="pt")
    with torch.no_grad():
        truth = network(**words).last_hidden_state[0]
    torch.testing.assert_close(found["tokens"][0, : len(truth)], truth, rtol=2e-3, atol=2e-3)  # kept in float16
    assert found["tokens_mask"].sum(1).tolist() == [5, 5, 0, 5], "words and two marks; nothing of an empty prompt"
    assert torch.equal(found["tokens"][0], found["tokens"][3]) and not torch.equal(
        found["tokens"][0], found["tokens"][1]
    )


def test_the_whole_of_a_prompt_is_the_mean_of_its_tokens_at_unit_size_and_zero_where_nothing_is_said(text):
    whole = Text(text.encoders, WIDTH, 0.5, pooled=WIDTH)
    found = whole(whole.parse(PROMPTS))
    mean = (found["tokens"] * found["tokens_mask"][..., None]).sum(1)
    truth = torch.nn.functional.normalize(mean, dim=1) * WIDTH**0.5
    torch.testing.assert_close(found["scalars"], truth, rtol=1e-2, atol=1e-2)
    assert not found["scalars"][2].any() and not whole.null(1)["scalars"].any()
    assert whole.backbone_options() == {"tokens": WIDTH, "scalars": WIDTH}
    with pytest.raises(ReverieError, match="no vector of 5"):
        Text(text.encoders, WIDTH, pooled=5).null(1)


def test_what_says_nothing_has_no_token_that_counts(text):
    null = text.null(3)
    assert null["tokens"].shape == (3, 8, WIDTH) and not null["tokens_mask"].any()
    asked = text(text.parse([None]))
    assert torch.equal(asked["tokens_mask"], null["tokens_mask"][:1])


def test_in_training_prompts_are_withheld_by_each_sample_s_own_stream(text):
    n = 400
    values = text.parse(["a cat"] * n)
    hidden = ~text(values, Seeded.at(0, range(n)))["tokens_mask"].any(1)
    assert 0.42 < hidden.float().mean() < 0.58, "half of 400: four standard deviations are 0.1, of which this is 0.08"
    few = ~text({"prompt": values["prompt"][7:9]}, Seeded.at(0, [7, 8]))["tokens_mask"].any(1)
    assert torch.equal(few, hidden[7:9])


def test_an_empty_prompt_takes_their_place_where_the_network_was_trained_so(cache, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(cache))
    text = Text((Encoder(length=8),), WIDTH, dropout=0.5, empty=True)
    null = text.null(2)["tokens"]
    assert set(text.null(2)) == {"tokens"} and torch.equal(null[0], text(text.parse([""]))["tokens"][0])
    told = text(text.parse(["a cat"] * 40), Seeded.at(0, range(40)))["tokens"]
    kinds = {tuple(row.flatten().tolist()) for row in told}
    assert kinds == {tuple(null[0].flatten().tolist()), tuple(text(text.parse(["a cat"]))["tokens"].flatten().tolist())}


def test_it_is_plain_data_that_comes_back(text):
    assert construct("conditioner", conditioning, Conditioner, describe(text)) == text


def test_what_was_encoded_is_kept_on_disk_and_read_again(text, cache, monkeypatch):
    text.remember(PROMPTS)
    again = Text(text.encoders, WIDTH, 0.5, pooled=WIDTH)
    monkeypatch.setattr(Encoder, "__call__", lambda *_: pytest.fail("it was encoded already"))
    again.remember(PROMPTS)
    for one in PROMPTS:
        assert all(torch.equal(a, b) for a, b in zip(again.made[one], text.made[one]))


def test_a_prompt_that_is_cut_is_said(text):
    with pytest.warns(ReverieWarning, match="14 tokens, of which this encoder reads 8; left out: 'cat"):
        text(text.parse(["red " * 6 + "cat " * 6]))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"folder": "nobody"}, "reverie data get nobody"),
        ({"sha256": "0" * 64}, "another text encoder"),
        ({"network": "T5EncoderModel"}, "not a text encoder of the kind|does not fit"),
    ],
    ids=["not here", "another", "of another kind"],
)
def test_an_encoder_that_is_not_the_one_is_refused(change, says, cache, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(cache))
    with pytest.raises(ReverieError, match=says):
        Text((Encoder(length=8, **change),), WIDTH).null(1)


@pytest.mark.parametrize("wrong", [{"network": "os.system"}, {"folder": "../up"}, {"length": 0}, {"layer": 3}])
def test_a_description_that_is_none_is_refused(wrong):
    data = describe(Text()) | {"encoders": [describe(Encoder()) | wrong]}
    with pytest.raises(ReverieError, match=r"conditioner Encoder cannot be made"):
        construct("conditioner", conditioning, Conditioner, data)


def test_labels_are_no_prompts(text):
    with pytest.raises(ReverieError, match="a prompt is text, not '3'"):
        text.parse([3])
