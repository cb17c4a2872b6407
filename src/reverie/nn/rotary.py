"""Rotary positions along any number of axes."""

import torch
from torch import Tensor


def angles(where: Tensor, pairs: int, base: float = 100.0) -> Tensor:
    """By how much each pair of features turns at each position; where (N, axes) -> (N, pairs), float32.

        angle_i = position along axis (i mod axes) * base^(-(i // axes) / (pairs / axes))

    Pairs are dealt to the axes in turn, from fast to slow. Frequencies from 1 to about 1 / `base` suit axes of tens
    to hundreds of patches. Su et al. 2021, https://arxiv.org/abs/2104.09864; Heo et al. 2024,
    https://arxiv.org/abs/2403.13298
    """
    axes, i = where.shape[1], torch.arange(pairs, device=where.device)
    return where.float()[:, i % axes] * base ** (-(i // axes).float() * axes / pairs)


def turns(where: Tensor, pairs: int) -> Tensor:
    """The cosines and sines of those angles: (2, N, pairs), once for all blocks, since compilers compute them for each entry."""
    angle = angles(where, pairs)
    return torch.stack([angle.cos(), angle.sin()])


def rotated(x: Tensor, turn: Tensor) -> Tensor:
    """Turns the pairs (x_i, x_{i + S/2}); x (B, H, N, S), turn (2, N, S / 2), the cosines and sines of their angles."""
    a, b = x.chunk(2, dim=3)
    cos, sin = turn.to(x.dtype)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)
