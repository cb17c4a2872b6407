"""How near pictures are to the true ones."""

import torch
from torch import Tensor

from reverie.features.base import Extractor


def ssim(made: Tensor, true: Tensor) -> Tensor:
    """(N,) of uint8 (N, C, H, W), by scikit-image at its defaults."""
    from skimage.metrics import structural_similarity

    return torch.tensor([
        structural_similarity(a.numpy(), b.numpy(), channel_axis=0, data_range=255) for a, b in zip(made, true)
    ])  # fmt: skip


def apart(made: Tensor, true: Tensor, eyes: Extractor) -> Tensor:
    """(N,): distances of features |f(made) - f(true)| over the mean |f(true)|."""
    f, g = eyes.extract(made), eyes.extract(true)
    return (f - g).norm(dim=1) / g.norm(dim=1).mean()
