"""How differently two pictures look, by what a network that knows pictures sees in them."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ReverieError
from ..files import fill
from .base import cached, read_weights
from .efficientnet import Lite0, renamed

LAYERS = (0, 2, 4, 7)
"""Blocks of EfficientNet-Lite0 whose outputs are compared: at a 2nd, 4th, 8th and 16th of the pixels a side."""
SMALLEST = 64
"""Pixels a side, to which smaller pictures are enlarged first."""


class Perceptual(nn.Module):
    """The mean squared distance of normed features at several depths, for pictures x, y (B, 1 or 3, H, W) in [-1, 1]:

        d(x, y) = mean over layers and places of |f(x) / |f(x)| - f(y) / |f(y)||^2

    the form of Zhang et al. 2018, https://arxiv.org/abs/1801.03924, on features of EfficientNet-Lite0, without their weights
    of channels: not their LPIPS. `reverie data get efficientnet_lite0` brings the features.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        tensors, self.hash = read_weights(path or cached("efficientnet_lite0"))
        self.network = Lite0()
        fill(self.network, renamed(tensors), "the file of efficientnet_lite0")
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "Perceptual":
        return super().train(False)  # the statistics of its norms are those of its own training

    def seen(self, x: Tensor) -> list[Tensor]:
        """Normed features of each layer, (B, C, h, w)."""
        if x.shape[1] not in (1, 3):
            raise ReverieError(f"what pictures look like is known of grey and of colour, not of {x.shape[1]} channels")
        if (small := min(x.shape[2:])) < SMALLEST:
            x = F.interpolate(x, scale_factor=-(-SMALLEST // small), mode="bilinear")
        h, found = self.network.stem((x.expand(-1, 3, -1, -1) * 127.5 + 0.5) / 128), []
        for i, block in enumerate(self.network.blocks[: LAYERS[-1] + 1]):
            h = block(h)
            if i in LAYERS:
                found.append(F.normalize(h, dim=1, eps=1e-6))
        return found

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B,), from 0 to 4."""
        each = [(a - b).square().sum(1).mean((1, 2)) for a, b in zip(self.seen(x), self.seen(y), strict=True)]
        return torch.stack(each).mean(0)
