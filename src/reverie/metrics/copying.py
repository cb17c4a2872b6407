"""Whether samples are copies of training data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ReverieError
from .base import Metric, Population
from .neighbours import share, squared


def nearest(
    x: Tensor, y: Tensor, folds: Sequence[Tensor] | None = None, itself: bool = False, chunk: int = 512
) -> Tensor:
    """The distance of each x (N, D) to the nearest y (M, D), of each of K folds of indices: (N, K), or (N, 1) without.

    Equal points are at distance 0. With `itself`, x is y and the nearest other counts.
    """
    centre = y.mean(0)
    away = y - centre
    every = [torch.arange(len(y), device=y.device)] if folds is None else folds
    found = []
    for start, part in zip(range(0, len(x), chunk), x.split(chunk)):
        distances = squared(part - centre, away)
        if itself:
            here = torch.arange(len(part), device=x.device)
            distances[here, start + here] = torch.inf
        index = [fold[distances[:, fold].argmin(1)] for fold in every]
        found.append(torch.stack([(part - y[i]).norm(dim=1) for i in index], 1))
    return torch.cat(found)


@dataclass(frozen=True)
class Copying(Metric):
    """Nearest training samples against nearest held-out samples, in pixels (or `space="features"`).

        copying = median_{i, k} min_{j in fold k} |x_i - train_j|  /  median_i min_{j <= m} |x_i - held_j|

    The folds are all disjoint sets of m training samples that there are, drawn by `seed`, and m is the number held out,
    so that both sides search equally many: 1 where training and held-out data are equally far, 0.95 or more means no
    copying; 0 where a single fold is copied. Its error is a bootstrap over the samples.

    A copy lies in one fold only, so with many folds the ratio is blunt, and `original` searches all training samples:

        original = share of i with r(x_i) >= q,    r(x) = min_j |x - train_j| / min_j |x - held_j|

    where q is the quantile that a share `honest` of the held-out samples reaches against the others held out: about
    `honest` for samples that copy nothing, 0 for copies. Its error is binomial, for the samples alone.
    """

    space: str = "pixels"
    honest: float = 0.99
    seed: int = 0

    better = "higher"
    unit = "ratio of distances; share"
    needs = ("raw", "train")

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        if train is None:
            raise ReverieError("Copying needs the training data to compare samples with")
        x, held, known = (self._points(population) for population in (samples, reference, train))
        generator = torch.Generator().manual_seed(self.seed)
        m = min(len(held), len(known))
        folds = torch.randperm(len(known), generator=generator).to(x.device).split(m)
        some = torch.randperm(len(held), generator=generator).to(x.device).split(m)
        to_known, to_held = nearest(x, known, folds), nearest(x, held, some)
        to_folds, to_some = to_known[:, : len(known) // m], to_held[:, 0]
        figures = {"copying": _ratio(to_folds, to_some), "copying_error": _bootstrap(to_folds, to_some, generator)}
        if len(held) > 1:
            honest = _divided(nearest(held, known), nearest(held, held, itself=True))
            q = honest.quantile(1 - self.honest, interpolation="lower")
            original, error = share(_divided(to_known.amin(1), to_held.amin(1)) >= q)
            figures |= {"original": original, "original_error": error}
        return figures

    def _points(self, population: Population) -> Tensor:
        if self.space == "features":
            return population.need("features", "Copying").double()
        raw = population.need("raw", "Copying")
        return raw.flatten(1).double() / (127.5 if raw.dtype == torch.uint8 else 1)


def _divided(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 1 where both are 0: a picture that lies on both sides is a copy of neither."""
    return torch.where((a == 0) & (b == 0), 1, a / b)


def _ratio(to_folds: Tensor, to_held: Tensor) -> float:
    return _divided(to_folds.flatten().median(), to_held.median()).item()


def _bootstrap(to_folds: Tensor, to_held: Tensor, generator: torch.Generator, draws: int = 100) -> float:
    n = len(to_held)
    drawn = [torch.randint(n, (n,), generator=generator).to(to_held.device) for _ in range(draws)]
    ratios = torch.tensor([_ratio(to_folds[i], to_held[i]) for i in drawn], dtype=torch.float64)
    return ratios.std().item() if ratios.isfinite().all() else 0.0
