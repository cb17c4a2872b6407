"""Words of textual inversion: what diffusers loads, we say the same of; and files that are none."""

import diffusers
import pytest
import torch
from safetensors.torch import save_file

transformers = pytest.importorskip("transformers")

from small_diffusion import stable_diffusion, stable_diffusion_xl  # noqa: E402

import reverie  # noqa: E402
from reverie.errors import ReverieError  # noqa: E402
from reverie.hub import load_folder  # noqa: E402
from reverie.hub.embeddings import learned, read_word  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:diffusers"
)
DDIM = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
        "set_alpha_to_one": False, "steps_offset": 1}  # fmt: skip
PROMPT = "a <new> heart on <new>"


@pytest.fixture(scope="module", params=[stable_diffusion, stable_diffusion_xl], ids=["1", "XL"])
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    pipe = request.param(folder, diffusers.DDIMScheduler(**DDIM))
    pipe.save_pretrained(folder / "theirs")
    return pipe, folder / "theirs"


@torch.no_grad()
def test_the_prompt_says_what_it_says_in_diffusers(made, tmp_path):
    """A word of two vectors, spelled out wherever it stands."""
    pipe, folder = made
    several = hasattr(pipe, "text_encoder_2")
    encoders = [pipe.text_encoder, *([pipe.text_encoder_2] if several else [])]
    tokenizers = [pipe.tokenizer, *([pipe.tokenizer_2] if several else [])]
    torch.manual_seed(5)
    vectors = [torch.randn(2, one.config.hidden_size) * 0.3 for one in encoders]
    save_file(
        {"<new>": vectors[0]} if not several else dict(zip(("clip_l", "clip_g"), vectors)), tmp_path / "w.safetensors"
    )
    system = load_folder(folder)
    word, found = read_word(tmp_path / "w.safetensors", system, "<new>" if several else None)
    learned(system, word, found, tmp_path / "run")
    run = reverie.load(tmp_path / "run")
    said = []
    for encoder, tokenizer, one, own in zip(encoders, tokenizers, vectors, run.conditioner.encoders):
        if "<new>" not in tokenizer.get_vocab():
            pipe.load_textual_inversion(one, token="<new>", text_encoder=encoder, tokenizer=tokenizer)
        else:  # their two tokenizers are one here
            encoder.resize_token_embeddings(len(tokenizer))
            encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(["<new>", "<new>_1"])] = one
        text = pipe.maybe_convert_prompt(PROMPT, tokenizer)
        assert text == "a <new> <new>_1 heart on <new> <new>_1"
        ids = tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
        told = encoder(ids, output_hidden_states=True)
        said.append(told.last_hidden_state if own.layer == -1 else told.hidden_states[own.layer])
    torch.testing.assert_close(run.conditioner.encoded([PROMPT]).tokens, torch.cat(said, dim=2), atol=1e-4, rtol=0)
    plain = load_folder(folder).conditioner.encoded(["a red heart"]).tokens
    torch.testing.assert_close(run.conditioner.encoded(["a red heart"]).tokens, plain)


@pytest.mark.parametrize(
    ("tensors", "name", "says"),
    [
        ({"<new>": torch.zeros(1, 31)}, None, "takes 1 to 64 vectors of"),
        ({"<new>": torch.zeros(65, 32)}, None, "takes 1 to 64 vectors of"),
        ({"<new>": torch.full((1, 32), torch.nan)}, None, "not finite"),
        ({"emb_params": torch.zeros(1, 32)}, None, "give --name"),
        ({"Cat": torch.zeros(1, 32)}, None, "in brackets"),
        ({"<a>": torch.zeros(1, 32), "<b>": torch.zeros(1, 32)}, None, "holds 2 tensors"),
    ],
)
def test_a_file_that_is_none_is_refused(made, tmp_path, tensors, name, says):
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(ReverieError, match=says):
        read_word(tmp_path / "w.safetensors", load_folder(made[1]), name)


def test_a_file_of_two_encoders_and_a_model_of_one(made, tmp_path):
    pipe, folder = made
    if hasattr(pipe, "text_encoder_2"):
        with pytest.raises(ReverieError, match="reads no text"):
            read_word(tmp_path / "w.safetensors", reverie.load("digits"))
        return
    save_file({"clip_l": torch.zeros(1, 32), "clip_g": torch.zeros(1, 48)}, tmp_path / "w.safetensors")
    with pytest.raises(ReverieError, match="more text encoders than the 1 here"):
        read_word(tmp_path / "w.safetensors", load_folder(folder), "<new>")
