"""What pictures have beyond smaller ones of them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ReverieError
from .base import Codec
from .pixels import Pixels

ROUNDS = 200
"""Of fitting; two numbers are found."""


@dataclass(frozen=True)
class Detail(Codec):
    """Pictures as `Pixels` are, and what is modelled of them: what enlarging a smaller one leaves out, in units of its spread.

        z = (x - m) / s_f(m),    2 / s_f(m)^2 = 1 / spread_f^2 + 1 / (floor_f^2 + gain_f^2 c_f(m)^2)

    m is the smaller picture enlarged f times, `spreads` the root mean square of x - m, and what is under the last fraction its
    mean square where m has the contrast c_f: next to nothing in a clear sky. The harmonic mean of both keeps what is drawn small
    there, and at edges no larger than it is elsewhere, since it would be noise all around them. Both of them being right, as
    they are fitted to means of blocks, z has mean 0 and std 1 whatever the factor f. z = 0 is the enlarged picture itself.
    `encode` and `decode` are those of Pixels: `detail` and `picture` go between x and z.
    """

    factors: tuple[int, ...] = (2, 4, 8)
    spreads: tuple[float, ...] = (0.05, 0.07, 0.1)
    floors: tuple[float, ...] = (0.002, 0.0025, 0.003)
    gains: tuple[float, ...] = (2.3, 4.2, 6.3)

    def __post_init__(self) -> None:
        whole = all(type(f) is int and 2 <= f <= 64 for f in self.factors)
        if not whole or not self.factors or len(self.factors) != len(set(self.factors)):
            raise ValueError("factors are whole numbers from 2 to 64 that differ")
        for name, least in (("spreads", 1e-12), ("floors", 1e-12), ("gains", 0.0)):
            numbers = getattr(self, name)
            if len(numbers) != len(self.factors) or not all(least <= s < math.inf for s in numbers):
                raise ValueError(f"{name} are as many numbers as there are factors, of {least:g} or more")

    @classmethod
    def variants(cls) -> "tuple[Detail, ...]":
        return cls(), cls((4,), (0.1,), (0.1,), (0.0,))

    @property
    def std(self) -> float:
        return 1.0

    def encode(self, raw):
        return Pixels().encode(raw)

    def decode(self, z):
        return Pixels().decode(z)

    def known(self, factor: int) -> int:
        """Which of the factors it is. Raises ReverieError for one that is none of ours."""
        if factor not in self.factors:
            known = ", ".join(map(str, self.factors))
            raise ReverieError(f"this model enlarges {known} times, not {factor}: edit the result again for more")
        return self.factors.index(factor)

    def spread(self, m: Tensor, factor: int) -> Tensor:
        """s_f (B, 1, H, W) of m (B, C, H, W)."""
        i = self.known(factor)
        local = self.floors[i] ** 2 + self.gains[i] ** 2 * contrast(m, factor)
        return (2 / (1 / local + self.spreads[i] ** -2)).sqrt()

    def seen(self, m: Tensor, factor: int) -> Tensor:
        """(B, 2 C, H, W), what a network is shown of m: the picture, and what it has beyond its surroundings in units of s_f."""
        return self._seen(m, factor, self.spread(m, factor))

    def detail(self, x: Tensor, m: Tensor, factor: int) -> Tensor:
        return (x - m) / self.spread(m, factor)

    def pair(self, x: Tensor, m: Tensor, factor: int) -> tuple[Tensor, Tensor]:
        """(z, what is seen of m), the spread computed once."""
        s = self.spread(m, factor)
        return (x - m) / s, self._seen(m, factor, s)

    def picture(self, z: Tensor, m: Tensor, factor: int) -> Tensor:
        return m + self.spread(m, factor) * z

    def _seen(self, m: Tensor, factor: int, s: Tensor) -> Tensor:
        return torch.cat([m, (m - surroundings(m, factor)) / s], 1)


def enlarged(y: Tensor, factor: int) -> Tensor:
    """(B, C, f H, f W) of y (B, C, H, W) in [-1, 1], by cubic interpolation: where every model of detail starts."""
    large: Any = F.interpolate(y, scale_factor=factor, mode="bicubic", align_corners=False)
    return torch.clamp(large, -1, 1)


def window(m: Tensor, width: int) -> Tensor:
    """Means over the `width` (odd) positions an axis about each of m (B, C, H, W); borders are repeated."""
    return F.avg_pool2d(F.avg_pool2d(F.pad(m, [width // 2] * 4, mode="replicate"), (width, 1), 1), (1, width), 1)


def surroundings(m: Tensor, factor: int) -> Tensor:
    """The mean of three pixels of the smaller picture an axis."""
    return window(m, 3 * factor // 2 * 2 + 1)


def contrast(m: Tensor, factor: int) -> Tensor:
    """c^2 (B, 1, H, W) of m (B, C, H, W): how far it is from its means over one pixel of the smaller picture, in the mean over
    three, and over channels."""
    return surroundings((m - window(m, factor // 2 * 2 + 1)).square().mean(1, keepdim=True), factor)


def fitted(lost: Tensor, contrast: Tensor) -> tuple[float, float]:
    """(floor, gain) under which losses (N,), squares, are most likely those of normal numbers, given as many contrasts.

        E lost = floor^2 + gain^2 contrast

    By steps that keep both positive: Fevotte and Idier 2011, https://arxiv.org/abs/1010.1763, for the divergence of Itakura
    and Saito, which that likelihood is.
    """
    lost, contrast = lost.double(), contrast.double()
    floor, gain = lost.mean() / 2, lost.mean() / 2 / contrast.mean().clamp(min=1e-12)
    for _ in range(ROUNDS):
        expected = floor + gain * contrast
        more, less = lost / expected.square(), 1 / expected
        floor = floor * (more.mean() / less.mean()).sqrt()
        gain = gain * ((more * contrast).mean() / (less * contrast).mean().clamp(min=1e-12)).sqrt()
    return floor.sqrt().item(), gain.sqrt().item()
