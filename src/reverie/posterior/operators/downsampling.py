"""Smaller pictures."""

from dataclasses import dataclass

import torch

from ...errors import ReverieError
from .base import picture
from .separable import Separable


class Smaller(Separable):
    """By a whole factor on both sides."""

    factor: int

    def shape(self, x):
        C, H, W = picture(self, x)
        if self.factor < 1 or H % self.factor or W % self.factor or not H or not W:
            raise ReverieError(f"{self} needs height and width that are multiples of {self.factor}, not {H} x {W}: crop or "
                               "pad the picture")  # fmt: skip
        return C, H // self.factor, W // self.factor

    def sides(self, y):
        return y[-2] * self.factor, y[-1] * self.factor


@dataclass(frozen=True)
class Area(Smaller):
    """Each pixel of y is the mean of a block of x. Its singular values are 1 / factor, and 0; A^+ repeats pixels."""

    factor: int = 4

    @classmethod
    def variants(cls):
        return cls(2), cls(4)

    def matrix(self, n):
        return torch.eye(n // self.factor, dtype=torch.float64).repeat_interleave(self.factor, 1) / self.factor


@dataclass(frozen=True)
class Bicubic(Smaller):
    """Each pixel of y is a mean of x around it, weighted by Keys's cubic, stretched by the factor: what `resize` of imaging
    libraries does (antialiased, a = -1/2), weights renormalised at the borders.

        w(u) = 3/2 |u|^3 - 5/2 |u|^2 + 1 for |u| < 1,    -1/2 |u|^3 + 5/2 |u|^2 - 4 |u| + 2 for |u| < 2

    Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711
    """

    factor: int = 4

    @classmethod
    def variants(cls):
        return cls(2), cls(4)

    def matrix(self, n):
        f = self.factor
        centres = (torch.arange(n // f, dtype=torch.float64) + 0.5) * f - 0.5
        u = ((torch.arange(n, dtype=torch.float64) - centres[:, None]) / f).abs()
        near, far = 1.5 * u**3 - 2.5 * u**2 + 1, -0.5 * u**3 + 2.5 * u**2 - 4 * u + 2
        w = torch.where(u < 1, near, torch.where(u < 2, far, 0))
        return w / w.sum(1, keepdim=True)
