"""Blurs."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ...errors import ReverieError
from .base import Operator, Spectrum, picture, told
from .separable import Separable
from .transforms import hartley


@dataclass(frozen=True)
class GaussianBlur(Separable):
    """Convolution with a Gaussian of deviation `std` pixels; the picture is mirrored at its borders.

    Directions that it weakens to less than `least` are lost wholly, so that A^+ does not blow noise up by more than 1 / least.
    """

    std: float = 1.0
    least: float = 1e-2

    @classmethod
    def variants(cls):
        return cls(), cls(2.0)

    def __post_init__(self):
        if not 0 < self.std < math.inf:
            raise ReverieError(f"a Gaussian blur needs a deviation above 0 pixels, not {self.std}")

    def shape(self, x):
        _, H, W = picture(self, x)
        if self.std > max(H, W):
            raise ReverieError(f"{self} is wider than the picture of {H} x {W}: take a smaller deviation")
        return x

    def matrix(self, n):
        radius = math.ceil(4 * self.std)
        offsets = torch.arange(-radius, radius + 1)
        w = (-(offsets.double() ** 2) / (2 * self.std**2)).exp()
        j = (torch.arange(n)[:, None] + offsets) % (2 * n)
        j = torch.where(j < n, j, 2 * n - 1 - j)
        return torch.zeros(n, n, dtype=torch.float64).scatter_add_(1, j, (w / w.sum()).expand(n, -1))

    def sides(self, y):
        return y[-2], y[-1]


@dataclass(frozen=True)
class MotionBlur(Operator):
    """The mean along a line of `length` pixels, `angle` degrees from the horizontal; around the edges of the picture.

    Its kernel is even, so the Hartley transform diagonalises it. As with `GaussianBlur`, what it weakens to less than
    `least` is lost wholly.
    """

    length: float = 5.0
    angle: float = 0.0
    least: float = 1e-2

    @classmethod
    def variants(cls):
        return cls(), cls(4.0, 35.0)

    def __post_init__(self):
        if not 0 < self.length < math.inf:
            raise ReverieError(f"a motion blur needs a length above 0 pixels, not {self.length}")
        if not math.isfinite(self.angle):
            raise ReverieError(f"a motion blur needs an angle in degrees, not {self.angle}")

    def shape(self, x):
        _, H, W = picture(self, x)
        if self.length > min(H, W):
            raise ReverieError(f"{self} is longer than the picture of {H} x {W}: take a shorter one")
        return x

    def forward(self, x):
        return self._applied(x, lambda gain: gain)

    adjoint = forward

    def pseudo_inverse(self, y):
        return self._applied(y, lambda gain: torch.where(gain != 0, 1 / gain, 0))

    def spectrum(self, x):
        return Spectrum(_gain(self, x[-2], x[-1]).abs(), lambda x: hartley(x, 2), lambda c: hartley(c, 2))

    def _applied(self, x: Tensor, change) -> Tensor:
        (gain,) = told(x, change(_gain(self, x.shape[-2], x.shape[-1])))
        return hartley(gain * hartley(x, 2), 2)


@cache
def _gain(blur: MotionBlur, H: int, W: int) -> Tensor:
    """(H, W): what each frequency is multiplied by, of a line drawn in fine steps, each shared by its four pixels."""
    along = torch.linspace(-0.5, 0.5, 64 * math.ceil(blur.length) + 1, dtype=torch.float64) * (blur.length - 1)
    angle = math.radians(blur.angle)
    y, x = -along * math.sin(angle), along * math.cos(angle)
    kernel = torch.zeros(H, W, dtype=torch.float64)
    for i, wy in ((y.floor(), 1 - (y - y.floor())), (y.floor() + 1, y - y.floor())):
        for j, wx in ((x.floor(), 1 - (x - x.floor())), (x.floor() + 1, x - x.floor())):
            kernel.view(-1).scatter_add_(0, (i.long() % H) * W + j.long() % W, wy * wx / len(along))
    gain = torch.fft.fft2(kernel).real
    return torch.where(gain.abs() >= blur.least, gain, 0)
