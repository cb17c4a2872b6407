"""Pictures without colour."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ReverieError
from .base import Operator, Spectrum, picture, told


@dataclass(frozen=True)
class Greyscale(Operator):
    """y = w . x over the channels, the luma of Rec. 601 by default: one singular value |w| a pixel, and zeros."""

    weights: tuple[float, ...] = (0.299, 0.587, 0.114)

    def shape(self, x):
        C, H, W = picture(self, x)
        if len(self.weights) != C:
            raise ReverieError(f"{self} needs pictures of {len(self.weights)} channels, not of {C}")
        return 1, H, W

    def forward(self, x):
        return (self._w(x) * x).sum(1, keepdim=True)

    def adjoint(self, y):
        return self._w(y) * y

    def pseudo_inverse(self, y):
        return self._w(y) / self._w(y).square().sum() * y

    def spectrum(self, x):
        w = torch.tensor(self.weights, dtype=torch.float64)
        V = torch.linalg.svd(w[None], full_matrices=True)[2].mT  # (C, C), its first column w / |w|
        s = torch.zeros(len(w), 1, 1, dtype=torch.float64)
        s[0] = w.norm()

        def to(x: Tensor) -> Tensor:
            return torch.einsum("cd,bchw->bdhw", *told(x, V), x)

        def back(c: Tensor) -> Tensor:
            return torch.einsum("cd,bdhw->bchw", *told(c, V), c)

        return Spectrum(s, to, back)

    def _w(self, x: Tensor) -> Tensor:
        return x.new_tensor(self.weights)[:, None, None]
