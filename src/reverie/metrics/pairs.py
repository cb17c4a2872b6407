"""How near pictures are to those that they stand for."""

import torch
from torch import Tensor


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Of levels of 255 (N, C, H, W), bytes or floats: (N,) in dB, 10 log10(255^2 / mean square)."""
    square = (made.double() - true.double()).square().flatten(1).mean(1)
    return 10 * torch.log10(255**2 / square.clamp(min=1e-12))
