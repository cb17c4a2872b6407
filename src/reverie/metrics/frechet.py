"""The Fréchet distance between Gaussians fitted to two sets of features."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Metric, Population


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean (D,) and scatter sum_i (x_i - mean)(x_i - mean)^T (D, D) of features, in float64. Adding two gives
    those of both sets together, so a stream of any length needs the memory of one batch.

    Chan, Golub and LeVeque 1983, https://doi.org/10.1080/00031305.1983.10483115
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """(N, D), N at least 1."""
        x = features.double()
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean).T @ (x - mean))

    @classmethod
    def stream(cls, batches: Iterable[Tensor]) -> "Moments":
        """Of (B, D) at a time; for instance of `extractor.batches(raw)`."""
        each = iter(batches)
        total = cls.of(next(each))
        for batch in each:
            total = total + cls.of(batch)
        return total

    def __add__(self, other: "Moments") -> "Moments":
        n = self.count + other.count
        d = other.mean - self.mean
        mean = self.mean + d * (other.count / n)
        return Moments(n, mean, self.scatter + other.scatter + torch.outer(d, d) * (self.count * other.count / n))

    @property
    def covariance(self) -> Tensor:
        """(D, D), unbiased."""
        return self.scatter / max(self.count - 1, 1)


def root(S: Tensor) -> Tensor:
    """The symmetric square root of a positive semidefinite matrix (D, D); directions of mere rounding become 0."""
    values, V = torch.linalg.eigh(S)
    values = torch.where(values > values.abs().max() * len(S) * torch.finfo(S.dtype).eps, values, 0)
    return (V * values.sqrt()) @ V.T


def gaussian_distance(mean_1: Tensor, S_1: Tensor, mean_2: Tensor, S_2: Tensor, root_2: Tensor | None = None) -> float:
    """The squared Wasserstein-2 distance between N(mean_1, S_1) and N(mean_2, S_2); `root_2` is `root(S_2)`, if known.

        |mean_1 - mean_2|^2 + tr S_1 + tr S_2 - 2 tr (S_2^1/2 S_1 S_2^1/2)^1/2

    The matrix under the last root is symmetric, so its eigenvalues give the trace, for covariances of any rank.
    Dowson and Landau 1982, https://doi.org/10.1016/0047-259X(82)90077-X
    """
    R = root(S_2) if root_2 is None else root_2
    inner = R @ S_1 @ R
    cross = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    return ((mean_1 - mean_2).square().sum() + S_1.trace() + S_2.trace() - 2 * cross).item()


@dataclass(frozen=True)
class Frechet(Metric):
    """The Fréchet distance, in the squared units of the features: how far mean and covariance are from the reference's.

    Its value belongs to the features, and falls with the number of samples: compare at equal counts, beside a ladder.
    With the features of `Inception` on 50 000 samples it is the FID. The standard error is a delete-a-group jackknife
    over the samples, sqrt((g - 1) / g sum_j (d_-j - mean d)^2) for g groups, without the reference's own error.
    Heusel et al. 2017, https://arxiv.org/abs/1706.08500
    """

    groups: int = 10

    better = "lower"
    unit = "squared feature units"

    def minimum(self, dim: int) -> int:
        return 2 * dim

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        x, y = samples.need("features", "Frechet"), reference.need("features", "Frechet")
        real = Moments.stream(y.split(4096))
        R = root(real.covariance)

        def distance(m: Moments) -> float:
            return gaussian_distance(m.mean, m.covariance, real.mean, real.covariance, R)

        groups = min(self.groups, len(x))
        parts = [Moments.stream(x[j::groups].split(4096)) for j in range(groups)]
        figures = {"frechet": distance(sum(parts[1:], parts[0]))}
        if groups > 1:
            without = [[p for i, p in enumerate(parts) if i != j] for j in range(groups)]
            d = torch.tensor([distance(sum(rest[1:], rest[0])) for rest in without], dtype=torch.float64)
            figures["frechet_error"] = ((groups - 1) / groups * (d - d.mean()).square().sum()).sqrt().item()
        return figures
