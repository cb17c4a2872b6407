"""Orthogonal transforms that diagonalise what is the same everywhere."""

import torch
from torch import Tensor


def hartley(x: Tensor, axes: int) -> Tensor:
    """The orthonormal Hartley transform along the last axes, Re F - Im F: real, and its own inverse.

    It diagonalises what convolves with an even kernel, around the edges.
    """
    over = tuple(range(-axes, 0))
    f = torch.fft.fftn(x, dim=over, norm="ortho")
    return f.real - f.imag


def mirrored(m: Tensor, axes: int) -> Tensor:
    """m(-k): each frequency's opposite."""
    over = tuple(range(-axes, 0))
    return m.flip(over).roll([1] * axes, over)
