"""Whether pictures show what was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..conditioning.encoders import Encoder
from ..core.noise import stream
from ..errors import ReverieError
from ..features.matcher import Matcher
from .base import Metric, Population
from .neighbours import share

READER = Encoder("BertModel", "minilm", 32)


@dataclass(frozen=True)
class Retrieval(Metric):
    """R-precision: of how many samples the prompt is the nearest of `among` captions, itself and others drawn at random, and of
    how many it is one of the nearest five; the same of the real pictures beside it, which perfect samples would reach.

    Nearness is that of a `Matcher`, which knows emoji. Chance is 1 / among, and 5 / among. Xu et al. 2017,
    https://arxiv.org/abs/1711.10485, with captions drawn as there.
    """

    among: int = 100
    seed: int = 0
    better = "higher"
    unit = "share"
    needs = ("prompts",)

    @classmethod
    def variants(cls) -> "tuple[Retrieval, ...]":
        """None: it is about emoji, and the prompts that they come with."""
        return ()

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        matcher, found = Matcher(), {}
        known = sorted({*said(samples), *said(reference)})
        if not 6 <= self.among <= len(known):
            raise ReverieError(
                f"retrieval among {self.among} captions needs as many different ones, and there are {len(known)}"
            )
        folder = READER.place(None)
        vectors = matcher.texts(torch.cat([
            read(known[i : i + 64], folder) for i in range(0, len(known), 64)
        ]))  # fmt: skip
        for side, name in ((samples, "r_precision"), (reference, "r_precision_of_real")):
            own = torch.tensor([known.index(text) for text in said(side)])
            nearness = matcher.pictures(side.need("raw", "retrieval")) @ vectors.T
            places = ranks(nearness, own, self.among, self.seed)
            for most in (1, 5):
                found[f"{name}_{most}"], found[f"{name}_{most}_error"] = share(places < most)
        return found


def read(texts: Sequence[str], folder) -> Tensor:
    pooled = READER(texts, folder, folder).pooled
    assert pooled is not None
    return pooled


def said(side: Population) -> tuple[str, ...]:
    if not side.prompts or len(side.prompts) != len(side.need("raw", "retrieval")):
        raise ReverieError(
            "retrieval needs the prompt of every sample and of every reference picture: a model that reads text"
        )
    return side.prompts


def ranks(nearness: Tensor, own: Tensor, among: int, seed: int) -> Tensor:
    """(N,): how many of `among` - 1 other captions, drawn for each caption, are nearer to it than its own, (N, T) and (N,);
    one that is as near counts as nearer, so that a matcher that tells nothing apart is given nothing.
    """
    found = []
    for row, mine in zip(nearness, own.tolist()):
        free = torch.Generator().manual_seed(stream(seed, "retrieval", mine))
        others = torch.randperm(len(row) - 1, generator=free)[: among - 1]
        others = others + (others >= mine)
        found.append((row[others] >= row[mine]).sum())
    return torch.stack(found)
