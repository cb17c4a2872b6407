"""Overlapping windows along an axis, and weights under which what is done in each becomes one whole."""

import torch
from torch import Tensor


def starts(size: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along an axis: evenly, from one end to the other, with at least that share in common."""
    if size < tile:
        raise ValueError(f"{size} pixels are fewer than a tile's {tile}")
    stride = max(1, tile - int(overlap * tile))
    count = -(-(size - tile) // stride) + 1
    return [round(i * (size - tile) / max(count - 1, 1)) for i in range(count)]


def ramps(size: int, tile: int, at: list[int]) -> Tensor:
    """(len(at), tile), float64: the weights of each tile along an axis, which add up to 1 at every pixel."""
    raw = torch.ones(len(at), tile, dtype=torch.float64)
    for i in range(len(at) - 1):
        shared = at[i] + tile - at[i + 1]
        up = ((torch.arange(shared, dtype=torch.float64) + 0.5) / shared * torch.pi / 2).sin().square()
        raw[i + 1, :shared] *= up
        raw[i, tile - shared :] *= up.flip(0)
    total = torch.zeros(size, dtype=torch.float64)
    for first, row in zip(at, raw):
        total[first : first + tile] += row
    return torch.stack([row / total[first : first + tile] for first, row in zip(at, raw)])
