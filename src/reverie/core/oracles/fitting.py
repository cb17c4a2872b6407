"""Mixtures fitted to data."""

import torch
from torch import Tensor

from ..noise import stream
from ..schedules import Rectified, Schedule
from .mixture import Mixture


def fit(
    schedule: Schedule, x: Tensor, count: int = 20, steps: int = 50, shrink: float = 32.0, floor: float = 1e-3,
    seed: int = 0,
) -> Mixture:  # fmt: skip
    """A mixture of `count` Gaussians of any covariance, fitted to x (N, D) by expectation and maximisation in float64.

        r_ik = w_k N(x_i; m_k, C_k) / sum_j ...,    n_k = sum_i r_ik,    w_k = n_k / N,    m_k = sum_i r_ik x_i / n_k
        C_k = (sum_i r_ik (x_i - m_k)(x_i - m_k)^T + shrink C) / (n_k + shrink) + floor v I

    C, the covariance within components pooled over all, steadies components of few samples: it counts as `shrink`
    samples of each. `floor` is in units of v, the mean variance of x, and keeps coordinates that never vary from being
    certain. It begins at k-means from k-means++ and is a function of its arguments.
    Dempster, Laird & Rubin 1977; Arthur & Vassilvitskii 2007, https://doi.org/10.5555/1283383.1283494
    """
    x = x.double()
    least = floor * x.var(0).mean() * torch.eye(x.shape[1], dtype=torch.float64)
    r = _nearest(x, _centres(x, count, torch.Generator().manual_seed(stream(seed, "mixture"))))
    for _ in range(steps):
        n = r.sum(0)
        means = (r.mT @ x) / n[:, None]
        gaps = x - means[:, None]  # (K, N, D)
        scatter = gaps.mT @ (r.mT[:, :, None] * gaps)
        pooled = scatter.sum(0) / len(x)
        covariances = (scatter + shrink * pooled) / (n + shrink)[:, None, None] + least
        mixture = Mixture.of(Rectified(), n / len(x), means, covariances)
        r = mixture.responsibilities(x, 0.0)
    return Mixture(schedule, mixture.weights, mixture.means, mixture.stds, mixture.axes)


def _centres(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count, D): far from each other at first, then moved to the mean of what is nearest."""
    centres = x[torch.randint(len(x), (1,), generator=generator)]
    for _ in range(count - 1):
        far = torch.cdist(x, centres).square().amin(1)
        centres = torch.cat([centres, x[torch.multinomial(far, 1, generator=generator)]])
    for _ in range(20):
        r = _nearest(x, centres)
        n = r.sum(0)[:, None]
        centres = torch.where(n > 0, (r.mT @ x) / n.clamp(min=1), centres)
    return centres


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    """(N, K): 1 where a centre is the nearest."""
    return torch.nn.functional.one_hot(torch.cdist(x, centres).argmin(1), len(centres)).double()
