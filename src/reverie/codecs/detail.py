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


@dataclass(frozen=True)
class Detail(Codec):
    """Pictures as `Pixels` are, and what is modelled of them: what enlarging a smaller one leaves out, in units of its spread.

        z = (x - m) / s_f,    m the smaller picture enlarged f times, s_f the root mean square of x - m

    So z has mean 0 and std 1 whatever the factor f, and z = 0 is the enlarged picture itself. `encode` and `decode` are
    those of Pixels: `detail` and `picture` go between x and z.
    """

    factors: tuple[int, ...] = (2, 4, 8)
    spreads: tuple[float, ...] = (0.1, 0.15, 0.2)

    def __post_init__(self) -> None:
        whole = all(type(f) is int and 2 <= f <= 64 for f in self.factors)
        if not whole or not self.factors or len(self.factors) != len(set(self.factors)):
            raise ValueError("factors are whole numbers from 2 to 64 that differ")
        if len(self.spreads) != len(self.factors) or not all(s > 0 and math.isfinite(s) for s in self.spreads):
            raise ValueError("each factor has one positive spread")

    @classmethod
    def variants(cls) -> "tuple[Detail, ...]":
        return cls(), cls((4,), (0.1,))

    @property
    def std(self) -> float:
        return 1.0

    def encode(self, raw):
        return Pixels().encode(raw)

    def decode(self, z):
        return Pixels().decode(z)

    def spread(self, factor: int) -> float:
        """s_f. Raises ReverieError for a factor that is none of ours."""
        if factor not in self.factors:
            known = ", ".join(map(str, self.factors))
            raise ReverieError(f"this model enlarges {known} times, not {factor}: edit the result again for more")
        return self.spreads[self.factors.index(factor)]

    def detail(self, x: Tensor, m: Tensor, factor: int) -> Tensor:
        return (x - m) / self.spread(factor)

    def picture(self, z: Tensor, m: Tensor, factor: int) -> Tensor:
        return m + self.spread(factor) * z


def enlarged(y: Tensor, factor: int) -> Tensor:
    """(B, C, f H, f W) of y (B, C, H, W) in [-1, 1], by cubic interpolation: where every model of detail starts."""
    large: Any = F.interpolate(y, scale_factor=factor, mode="bicubic", align_corners=False)
    return torch.clamp(large, -1, 1)
