"""Words that a text encoder never saw: vectors of their own in a copy of it. Textual inversion.

A word of n vectors is n tokens, <cat> <cat>_1 ... <cat>_(n-1), and is written as the first alone. Gal et al. 2022,
https://arxiv.org/abs/2208.01618
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ReverieError, printable

NAME = re.compile(r"<[a-z0-9][a-z0-9 -]{0,38}>")
MOST = 64
"""Vectors of a word."""


def named(text: str) -> str:
    """The word. Raises ReverieError where it could be taken for another."""
    if not NAME.fullmatch(text):
        raise ReverieError(
            f"a new word is small letters and digits in brackets such as '<my cat>', not {printable(text[:60])!r}"
        )
    return text


def tokens_of(word: str, count: int) -> list[str]:
    return [word, *(f"{word}_{i}" for i in range(1, count))]


def spelled(text: str, known: Mapping[str, Any]) -> str:
    """The text with every word of several tokens spelled out, by the words that a tokenizer had added."""
    for word in known:
        if word in text and f"{word}_1" in known:
            count = next(i for i in range(1, MOST + 1) if f"{word}_{i}" not in known)
            text = re.sub(re.escape(word) + r"(?!_\d)", lambda _: " ".join(tokens_of(word, count)), text)  # noqa: B023
    return text


def checked(word: str, vectors: Tensor, width: int) -> Tensor:
    """The vectors (n, D) of a word, of one as (D,) too. Raises ReverieError where they are none of that width."""
    vectors = vectors[None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or vectors.shape[1] != width or not 1 <= len(vectors) <= MOST:
        raise ReverieError(
            f"{word} is {tuple(vectors.shape)}, and this text encoder takes 1 to {MOST} vectors of {width}"
        )
    if not vectors.is_floating_point() or not vectors.isfinite().all():
        raise ReverieError(f"{word} holds numbers that are not finite")
    return vectors.float()


@torch.no_grad()
def teach(network: Any, tokenizer: Any, words: Mapping[str, Tensor]) -> list[int]:
    """Puts words into a network of transformers and its tokenizer, in memory; returns the places of all their tokens.

    Raises ReverieError where a word is known already, or its vectors are none of the encoder's.
    """
    width = network.get_input_embeddings().weight.shape[1]
    vectors = {word: checked(word, one, width) for word, one in words.items()}
    tokens = [token for word, one in vectors.items() for token in tokens_of(word, len(one))]
    known = tokenizer.get_vocab()
    if taken := [token for token in tokens if token in known]:
        raise ReverieError(f"this text encoder knows {taken[0]} already: choose another word")
    tokenizer.add_tokens(tokens)
    places = tokenizer.convert_tokens_to_ids(tokens)
    rows = max(len(network.get_input_embeddings().weight), max(places) + 1)
    network.resize_token_embeddings(rows, mean_resizing=False)
    table = network.get_input_embeddings().weight
    table[places] = torch.cat(list(vectors.values())).to(table)
    told = getattr(network.config, "eos_token_id", None)
    if type(network).__name__.startswith("CLIP") and told == 2:
        # their network takes the largest place for the end then, which a new word's would be
        network.config.eos_token_id = tokenizer.eos_token_id
        for part in network.modules():
            if hasattr(part, "eos_token_id"):
                part.eos_token_id = tokenizer.eos_token_id
    return places


def write(kind: str, places: tuple[Path, Path], words: Mapping[str, Tensor], folder: Path) -> None:
    """Writes a text encoder that knows words, made of one whose network and tokenizer lie at `places`, as transformers does."""
    from .encoders import frozen  # which reads through these words

    network, tokenizer = frozen(kind, *places)
    teach(network, tokenizer, words)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
