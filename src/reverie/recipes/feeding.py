"""What training is fed with, micro-batch by micro-batch, prepared when it is needed or by workers ahead of that."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..conditioning.base import Conditioner
from ..core.noise import Noise, Seeded
from ..data.ahead import ahead
from ..data.base import Dataset
from ..data.order import which
from ..data.stored import Stored

MOST_WORKERS = 64


class Change(Protocol):
    """What is done to samples z (B, C, *axes) at random, each from its own stream."""

    def __call__(self, x: Tensor, noise: Noise, /) -> tuple[Tensor, dict[str, Tensor]]:
        """(z changed, values of it beside those that the data have; `maps` go to the network as they are)."""


def batches(
    data: Dataset, codec: Codec, conditioner: Conditioner, *, seed: int, seen: int, total: int, batch: int,
    micro_batch: int, rank: int = 0, processes: int = 1, device: torch.device | str = "cpu", workers: int = 0,
    augmentation: Change | None = None, latents: Tensor | Stored | None = None,
) -> Iterator[Mapping[str, Any]]:  # fmt: skip
    """What losses are called with, micro-batch by micro-batch, from `seen` to `total` samples; `latents` are z of all samples,
    where they are known already.

    Which sample comes, and all that is random about it, is a function of (seed, place): batches, workers and processes
    only share the places out.
    """
    for one in ahead(
        lambda places: prepared(data, codec, conditioner, seed, places, augmentation, latents),
        places_of(seen, total, batch, micro_batch, rank, processes),
        workers,
    ):
        yield {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in one.items()}


def places_of(seen: int, total: int, batch: int, micro_batch: int, rank: int, processes: int) -> Iterator[range]:
    """The places in the order of training that make each micro-batch of this process."""
    share = batch // processes
    for start in range(seen + rank * share, total + rank * share, batch):
        for first in range(start, start + share, micro_batch):
            yield range(first, min(first + micro_batch, start + share))


def prepared(
    data: Dataset, codec: Codec, conditioner: Conditioner, seed: int, places: range, augmentation: Change | None,
    latents: Tensor | Stored | None = None,
) -> Mapping[str, Any]:  # fmt: skip
    """One micro-batch: a function of its arguments, which a worker may call at any time, in any order."""
    rows, noise = which(seed, places, len(data)), Seeded.at(seed, places, "train")
    x = codec.encode(data.raw[rows]) if latents is None else latents[rows]
    values = {key: value[rows] for key, value in data.values.items()}
    if augmentation is not None:
        x, made = augmentation(x, Seeded.at(seed, places, "augment"))
        values |= made
    maps = {"maps": values.pop("maps")} if "maps" in values else {}
    condition = conditioner(values, noise) if values else {}
    return {"x": x, "noise": noise, **condition, **maps}
