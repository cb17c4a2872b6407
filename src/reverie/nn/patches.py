"""Cutting x into patches and putting it together again, over any number of axes."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from .base import wholes


def patch_of(patch: int | Sequence[int], spatial: int) -> tuple[int, ...]:
    """The length of a patch along each of `spatial` axes. Raises ValueError."""
    lengths = wholes("patch", [patch] * spatial if isinstance(patch, int) else patch, 1, 256, most=spatial)
    if len(lengths) != spatial:
        raise ValueError(f"patch has {len(lengths)} lengths for {spatial} axes")
    return lengths


def patches(x: Tensor, patch: Sequence[int]) -> tuple[Tensor, list[int]]:
    """x (B, C, *axes) as patches (B, N, C * volume), and their count along each axis, whose product is N.

    Zeros on the right complete the last patch of an axis.
    """
    axes = len(patch)
    short = [-n % p for n, p in zip(x.shape[2:], patch)]
    x = F.pad(x, [end for n in reversed(short) for end in (0, n)])
    counts = [n // p for n, p in zip(x.shape[2:], patch)]
    x = x.reshape(*x.shape[:2], *(n for pair in zip(counts, patch) for n in pair))
    x = x.permute(0, *range(2, 2 + 2 * axes, 2), 1, *range(3, 3 + 2 * axes, 2))
    return x.flatten(1 + axes).flatten(1, axes), counts


def folded(x: Tensor, patch: Sequence[int]) -> Tensor:
    """x (B, C, *axes) with its patches as channels of one position each, (B, C * volume, *counts)."""
    if set(patch) == {1}:
        return x.contiguous()
    h, counts = patches(x, patch)
    return h.transpose(1, 2).unflatten(2, counts).contiguous()


def unfolded(h: Tensor, patch: Sequence[int], size: Sequence[int]) -> Tensor:
    """The inverse of `folded` for a result of that size."""
    return h if set(patch) == {1} else unpatched(h.flatten(2).transpose(1, 2), patch, h.shape[2:], size)


def unpatched(h: Tensor, patch: Sequence[int], counts: Sequence[int], size: Sequence[int]) -> Tensor:
    """Patches (B, N, C * volume) as (B, C, *size): the inverse of `patches`, without what completed the last ones."""
    axes = len(patch)
    h = h.reshape(len(h), *counts, -1, *patch)
    h = h.permute(0, 1 + axes, *(n for i in range(axes) for n in (1 + i, 2 + axes + i)))
    h = h.reshape(*h.shape[:2], *(n * p for n, p in zip(counts, patch)))
    for axis, n in enumerate(size, start=2):
        h = h.narrow(axis, 0, n)
    return h
