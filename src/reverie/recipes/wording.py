"""A new word while it is learned: its vectors, and the text encoders read through them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from .. import files
from ..conditioning import words
from ..conditioning.encoders import PARTS, Encoder, Loaded, frozen, identity
from ..conditioning.text import Text
from ..errors import ReverieError
from ..hub.embeddings import PLACES

WORDS, FILE = "words.", "words.safetensors"
"""Where a network that is trained has the vectors, by the place of their encoder; and the file of a run that has them."""
SPREAD = 0.01
"""By which several vectors of a word differ at first, as a share of their size."""


@dataclass(frozen=True)
class Wording(Text):
    """`base`, its encoders reading one word by vectors that are learned; what they say is differentiable, and kept nowhere."""

    base: Text = field(default_factory=Text)
    word: str = ""
    vectors: nn.ParameterList = field(default_factory=nn.ParameterList, repr=False, compare=False)
    readers: tuple[Loaded, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def of(cls, base: Text, word: str, like: str, count: int) -> Self:
        """The word starts from `like`, which the encoders know. Raises ReverieError where they do not, or know the word."""
        readers, vectors = [], nn.ParameterList()
        for encoder in base.encoders:
            network, tokenizer = frozen(encoder.network, *base.place(encoder))
            places = tokenizer(like, add_special_tokens=False)["input_ids"]
            if not places or getattr(tokenizer, "unk_token_id", None) in places:
                raise ReverieError(f"the text encoder knows nothing like {like!r}: say --like a word that it knows")
            first = network.get_input_embeddings().weight[places].mean(0, keepdim=True).detach().repeat(count, 1)
            noise = torch.randn(first.shape, generator=torch.Generator().manual_seed(0)) * SPREAD * first.std()
            start = first + noise if count > 1 else first
            own = words.teach(network, tokenizer, {word: start})
            vectors.append(nn.Parameter(start.clone()))
            network.get_input_embeddings().register_forward_hook(Reading(own, vectors[-1]))
            readers.append(Loaded(encoder, tokenizer, network))
        return cls(
            base.encoders, base.width, base.dropout, base.empty, base.pooled, base, word, vectors, tuple(readers)
        )

    def nothing(self):
        return self.base.nothing()

    def encoded(self, texts):
        return self.base.joined([one.read(list(texts)) for one in self.readers])

    def told(self, said):
        return self.base.told(said)

    def backbone_options(self):
        return self.base.backbone_options()

    def write(self, folder: Path, vectors: Mapping[int, Tensor]) -> None:
        """Puts encoders that know the word into the parts of a run, and its vectors beside them."""
        for i, encoder in enumerate(self.base.encoders):
            with files.staged(folder / PARTS / encoder.folder) as stage:
                words.write(encoder.network, self.base.place(encoder), {self.word: vectors[i]}, stage)
        files.save_tensors(folder / FILE, told(self.word, [vectors[i] for i in sorted(vectors)]))

    def plain(self, folder: Path) -> Text:
        """What a run has in its place, once its encoders were written there."""
        found = replace(self.base, encoders=knowing(self.base.encoders, folder))
        found.attach(folder)
        return found


class Reading:
    """A hook of a table of vectors: at the places of a word, what is learned stands in for what the table has."""

    def __init__(self, places: Sequence[int], vectors: Tensor) -> None:
        self.places, self.vectors = list(places), vectors

    def __call__(self, module: Any, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        for place, vector in zip(self.places, self.vectors):
            out = torch.where((given[0] == place)[..., None], vector.to(out), out)
        return out


def knowing(encoders: Sequence[Encoder], folder: Path) -> tuple[Encoder, ...]:
    return tuple(replace(one, sha256=identity(folder / PARTS / one.folder)) for one in encoders)


def told(word: str, vectors: Sequence[Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, as diffusers reads them: of one encoder by the word, of several by their place."""
    if len(vectors) == 1:
        return {word: vectors[0]}
    return dict(zip(PLACES, vectors))
