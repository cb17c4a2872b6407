"""Conjugate residuals, each sample by itself."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..guidance.base import inner_product


def solve(
    A: Callable[[Tensor], Tensor], b: Tensor, iterations: int, floor: float = 0.0, tolerance: float = 1e-4
) -> Tensor:
    """x with A x = b, b (B, *), for an A that acts on each row alone: the least |b - A x| over {b, A b, A^2 b, ...}.

    Of a symmetric positive A it comes to what conjugate gradients do. What a learned network gives is no covariance, neither
    symmetric nor positive: conjugate gradients go to infinity there, while here |b - A x| falls whatever A is. A row stops
    where that is below `tolerance` |b|, and where its residual r has r^T A r below `floor` |r|^2, or not above 0.
    Eisenstat, Elman and Schultz 1983, https://doi.org/10.1137/0720023
    """
    x, r = torch.zeros_like(b), b
    ways: list[tuple[Tensor, Tensor, Tensor]] = []
    rr = inner_product(r, r)
    enough, going = tolerance**2 * rr, rr > 0
    for _ in range(iterations):
        p, q = r, A(r)
        going = going & (
            inner_product(p, q) > max(0.999 * floor, 1e-12) * inner_product(p, p)
        )  # less than rounding's 1e-3
        if not going.any():
            break
        for before, its, square in ways:
            share = (inner_product(q, its) / square).to(b)
            p, q = p - share * before, q - share * its
        square = inner_product(q, q).clamp(min=torch.finfo(torch.float32).tiny)
        step = torch.where(going, inner_product(r, q) / square, 0).to(b)
        x, r = x + step * p, r - step * q
        ways.append((p, q, square))
        going = going & (inner_product(r, r) > enough)
    return x
