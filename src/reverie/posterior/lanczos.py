"""Logarithms of determinants, each sample's by itself."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..guidance.base import inner_product


def log_determinant(A: Callable[[Tensor], Tensor], like: Tensor, iterations: int, probes: int, floor: float) -> Tensor:
    """log det A, (B,) float64, for a symmetric A that acts on each row of what is shaped like `like` (B, *) alone.

    By stochastic Lanczos quadrature: the mean of z^T log(A) z over `probes` vectors z of signs, `iterations` of A each. These
    are the same in all rows and calls, so that what they get wrong is much the same too, and cancels where rows are compared.
    It is exact of diagonal A with no more different entries than iterations. Eigenvalues below `floor` count as `floor`.
    Ubaru, Chen and Saad 2017, https://doi.org/10.1137/16M1104974
    """
    B, count = len(like), like[0].numel()
    signs = torch.Generator().manual_seed(0)
    found = torch.zeros(B, dtype=torch.float64, device=like.device)
    for _ in range(probes):
        z = torch.randint(0, 2, like.shape[1:], generator=signs).to(like) * 2 - 1
        ways: list[Tensor] = []
        q, T = (z / count**0.5).expand_as(like), found.new_zeros(B, iterations, iterations)
        for k in range(min(iterations, count)):
            ways.append(q)
            r = A(q)
            T[:, k, k] = inner_product(q, r).flatten().double()
            for _ in range(2):  # once leaves what rounding adds
                for before in ways:
                    r = r - inner_product(before, r).to(r) * before
            norm = inner_product(r, r).sqrt()
            ended = norm <= 1e-5 * T[:, 0, 0].abs().reshape(norm.shape)  # nothing is left but rounding
            q = torch.where(ended, 0, r / norm.clamp(min=torch.finfo(torch.float32).tiny)).to(like)
            if k + 1 < iterations:
                T[:, k, k + 1] = T[:, k + 1, k] = torch.where(ended, 0, norm).flatten().double()
        theta, U = torch.linalg.eigh(T)
        found = found + count * (U[:, 0].square() * theta.clamp(min=floor).log()).sum(1)
    return found / probes
