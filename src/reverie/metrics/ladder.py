"""Reference rungs: what a metric says of real data, untouched and slightly spoiled, to put beside a model's figure."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..features import Extractor, choose
from ..features.base import signed
from .base import Metric, Population
from .evaluate import Result, evaluate, featured
from .frechet import Frechet


def subset(raw: Tensor, n: int, seed: int = 0) -> Tensor:
    """n of the N samples, drawn by a seed; all, in order, where there are no more."""
    if n >= len(raw):
        return raw
    return raw[torch.randperm(len(raw), generator=torch.Generator().manual_seed(seed))[:n].sort().values]


def requantised(x: Tensor, raw: Tensor) -> Tensor:
    """Values x in [-1, 1] in the form that raw has: clamped, and rounded to bytes where those are bytes."""
    x = x.clamp(-1, 1)
    return ((x + 1) * 127.5).round().to(torch.uint8) if raw.dtype == torch.uint8 else x.to(raw)


def noisy(raw: Tensor, std: float, seed: int = 0) -> Tensor:
    """Gaussian noise of a standard deviation on [-1, 1] values, then clamped and quantised as pictures are."""
    eps = torch.randn(raw.shape, generator=torch.Generator().manual_seed(seed))
    return requantised(signed(raw) + std * eps.to(raw.device), raw)


def blurred(raw: Tensor) -> Tensor:
    """Pictures (N, C, H, W) with every pixel the mean of the 3x3 around it, as far as that lies inside."""
    return requantised(F.avg_pool2d(signed(raw), 3, stride=1, padding=1, count_include_pad=False), raw)


def rungs(
    reference: Tensor, train: Tensor, n: int, stds: Sequence[float] = (0.02, 0.05, 0.1), seed: int = 0
) -> Iterator[tuple[str, Tensor]]:
    """Names and samples: n of the training data, then n of the reference with noise, then, for pictures, blurred."""
    yield "train", subset(train, n, seed)
    some = subset(reference, n, seed)
    for std in stds:
        yield f"noise {std:g}", noisy(some, std, seed)
    if some.ndim == 4:
        yield "blur 3x3", blurred(some)


def ladder(
    reference: Tensor, train: Tensor, n: int, *, metrics: Sequence[Metric] = (Frechet(),),
    extractor: Extractor | None = None, dataset: str | None = None, stds: Sequence[float] = (0.02, 0.05, 0.1),
    seed: int = 0, batch: int = 64,
) -> dict[str, Result]:  # fmt: skip
    """The same metrics for every rung, against the whole reference (M, *). Let n be the number of the model's samples,
    since floors depend on it. The rung "train" is the floor, where a perfect model would be. The spoiled rungs are of
    the reference's own samples: their distance is what spoiling adds, and may lie below the floor.
    """
    extractor = extractor or choose(tuple(reference.shape[1:]), dataset)
    real = featured(Population(raw=reference), extractor, batch)
    known = Population(raw=train)
    return {
        name: evaluate(raw, real, known, metrics=metrics, extractor=extractor, batch=batch)
        for name, raw in rungs(reference, train, n, stds, seed)
    }
