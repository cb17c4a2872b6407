"""CLIPScore: against transformers' own numbers, by a small CLIP with random weights."""

import sys
from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

from small_diffusion import drawn, tokenizer  # noqa: E402

from reverie.errors import ReverieError  # noqa: E402
from reverie.metrics.base import Population  # noqa: E402
from reverie.metrics.clip_score import MEAN, STD, CLIPScore  # noqa: E402
from reverie.metrics.evaluate import evaluate  # noqa: E402

PROMPTS = ("a red heart", "the cat on blue", "a cat")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """(its folder, network, tokenizer)."""
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    words = tokenizer(folder / "words")
    common = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 16,
    }
    special = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**common, **special, "vocab_size": len(words)}
    vision = {**common, "image_size": 24, "patch_size": 8}
    network = drawn(
        transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    )
    network.save_pretrained(folder / "clip")
    words.save_pretrained(folder / "clip")
    return folder / "clip", network, words


@torch.no_grad()
def test_it_is_the_cosine_that_transformers_gives(clip):
    folder, network, words = clip
    raw = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8)
    x = (raw / 255 - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(STD).reshape(3, 1, 1)
    out = network(pixel_values=x, **words(list(PROMPTS), padding=True, return_tensors="pt"))
    cosines = (out.logits_per_image / network.logit_scale.exp()).diagonal()
    real = Population(raw=raw.flip(3), prompts=PROMPTS)
    metric = CLIPScore(str(folder), batch=2)
    found = evaluate(Population(raw=raw, prompts=PROMPTS), real, metrics=[metric]).figures
    assert found["clip_score"].value == pytest.approx((100 * cosines.clamp(min=0)).mean().item(), rel=1e-5, abs=1e-5)
    assert found["clip_score"].value != found["clip_score_of_real"].value
    large = raw.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert metric.prepared(large, 24).shape == x.shape and torch.allclose(metric.prepared(raw, 24), x, atol=1e-6)


def test_what_is_no_clip_is_refused(clip, tmp_path):
    side = Population(raw=torch.zeros(3, 3, 24, 24, dtype=torch.uint8), prompts=PROMPTS)
    for metric, says in (
        (CLIPScore(), "needs a CLIP on this machine"),
        (CLIPScore(str(tmp_path)), "config.json is missing"),
    ):
        with pytest.raises(ReverieError, match=says):
            evaluate(side, side, metrics=[metric])
    with pytest.raises(ReverieError, match="the prompt of every sample"):
        evaluate(Population(raw=side.raw), side, metrics=[CLIPScore(str(clip[0]))])
