"""The kernel distance: an unbiased squared maximum mean discrepancy between two sets of features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Metric, Population


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = (x . y / D + 1)^3 of all pairs: (N, D), (M, D) -> (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mmd2(x: Tensor, y: Tensor, chunk: int = 2048) -> float:
    """The unbiased estimate of MMD^2 from x (N, D) and y (M, D), N and M at least 2; it may be below 0.

        sum_{i != j} k(x_i, x_j) / N(N - 1)  +  sum_{i != j} k(y_i, y_j) / M(M - 1)  -  2 sum_{i, j} k(x_i, y_j) / N M

    Gretton et al. 2012, https://jmlr.org/papers/v13/gretton12a.html
    """

    def total(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack([cubic(part, b).sum() for part in a.split(chunk)]).sum()

    def others(a: Tensor) -> Tensor:
        diagonal = ((a.square().sum(1) / a.shape[1] + 1) ** 3).sum()
        return (total(a, a) - diagonal) / (len(a) * (len(a) - 1))

    x, y = x.double(), y.double()
    return (others(x) + others(y) - 2 * total(x, y) / (len(x) * len(y))).item()


@dataclass(frozen=True)
class Kernel(Metric):
    """The kernel distance, of all samples at once; unbiased, so two sets of one distribution give 0 on average, and
    values at different counts can be compared. With the features of `Inception` it is the KID.

    The standard error is from disjoint blocks of both sets, shuffled by `seed`: std / sqrt(blocks) of their estimates,
    which is on the safe side, since the whole set holds more pairs than the blocks.
    Binkowski et al. 2018, https://arxiv.org/abs/1801.01401
    """

    blocks: int = 10
    seed: int = 0

    better = "lower"
    unit = "squared maximum mean discrepancy"

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        x, y = samples.need("features", "Kernel"), reference.need("features", "Kernel")
        figures = {"kernel": mmd2(x, y)}
        blocks = min(self.blocks, len(x) // 2, len(y) // 2)
        if blocks > 1:
            generator = torch.Generator().manual_seed(self.seed)
            x, y = (z[torch.randperm(len(z), generator=generator).to(z.device)] for z in (x, y))
            each = torch.tensor([mmd2(x[j::blocks], y[j::blocks]) for j in range(blocks)], dtype=torch.float64)
            figures["kernel_error"] = (each.std() / blocks**0.5).item()
        return figures
