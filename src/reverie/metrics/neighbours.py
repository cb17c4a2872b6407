"""Fidelity and diversity from nearest neighbours: precision and recall, density and coverage."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Metric, Population


def squared(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 of all pairs: (N, D), (M, D) -> (N, M), to rounding: equal points may be 1e-15 |x|^2 apart."""
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp(min=0)


def radii(x: Tensor, k: int, chunk: int = 1024) -> Tensor:
    """The squared distance of each point (N, D) to its k-th nearest other point: (N,)."""
    rows = []
    for start, part in zip(range(0, len(x), chunk), x.split(chunk)):
        distances = squared(part, x)
        here = torch.arange(len(part), device=x.device)
        distances[here, start + here] = torch.inf
        rows.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(rows)


def counts(x: Tensor, centres: Tensor, radius: Tensor, chunk: int = 1024) -> tuple[Tensor, Tensor]:
    """How many balls hold each point of x (N, D), and how many points each ball holds: (N,), (M,). A ball is a centre
    (M, D) and a squared radius (M,), edge included.
    """
    balls, points = [], torch.zeros(len(centres), dtype=torch.long, device=x.device)
    for part in x.split(chunk):
        inside = squared(part, centres) <= radius
        balls.append(inside.sum(1))
        points += inside.sum(0)
    return torch.cat(balls), points


def share(hits: Tensor) -> tuple[float, float]:
    """The share p of hits (N,), and its binomial standard error sqrt(p (1 - p) / N)."""
    p = hits.double().mean().item()
    return p, (p * (1 - p) / len(hits)) ** 0.5


def _centred(samples: Population, reference: Population, name: str, k: int) -> tuple[Tensor, Tensor, int]:
    x, y = samples.need("features", name).double(), reference.need("features", name).double()
    centre = y.mean(0)
    return x - centre, y - centre, max(1, min(k, len(x) - 1, len(y) - 1))


@dataclass(frozen=True)
class PrecisionRecall(Metric):
    """Precision: the share of samples within the k-th nearest neighbour distance of some real one. Recall: the share of
    real ones within that distance of some sample. Compare at equal counts; one outlier's ball can hold many points.

    Errors are binomial, for the points that are counted; those of the balls are not in them.
    Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991
    """

    k: int = 5

    better = "higher"
    unit = "share"

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        x, y, k = _centred(samples, reference, "PrecisionRecall", self.k)
        precision, precision_error = share(counts(x, y, radii(y, k))[0] > 0)
        recall, recall_error = share(counts(y, x, radii(x, k))[0] > 0)
        return {
            "precision": precision, "precision_error": precision_error,
            "recall": recall, "recall_error": recall_error,
        }  # fmt: skip


@dataclass(frozen=True)
class DensityCoverage(Metric):
    """Balls around real points reach to their k-th nearest real neighbour. Density: how many balls hold a sample, over
    k, about 1 for perfect samples and not bounded by it. Coverage: the share of balls that hold any sample.

        density = sum_i sum_j [x_i in ball_j] / (k N),    coverage = sum_j [some x_i in ball_j] / M

    N perfect samples reach coverage 1 - prod_{i < k} (M - 1 - i) / (M - 1 - i + N) on average (`expected`).
    Naeem et al. 2020, https://arxiv.org/abs/2002.09797
    """

    k: int = 5

    better = "higher"
    unit = "share"

    def expected(self, samples: int, reference: int) -> float:
        """The coverage of that many samples of the reference's own distribution."""
        missed = 1.0
        for i in range(self.k):
            missed *= (reference - 1 - i) / (reference - 1 - i + samples)
        return 1 - missed

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        x, y, k = _centred(samples, reference, "DensityCoverage", self.k)
        balls, points = counts(x, y, radii(y, k))
        density = balls.double() / k
        coverage, coverage_error = share(points > 0)
        return {
            "density": density.mean().item(), "density_error": (density.std(correction=0) / len(x) ** 0.5).item(),
            "coverage": coverage, "coverage_error": coverage_error,
        }  # fmt: skip
