"""A band of the frequencies of a sound."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ReverieError
from .base import Operator, Spectrum, said
from .transforms import hartley


@dataclass(frozen=True)
class Band(Operator):
    """y is x (B, C, T) without the frequencies outside low <= f <= high, in units of the highest, half the sample rate.

    A projection: singular values 1 and 0, diagonal under the Hartley transform; around the ends of the sound.
    """

    example = (2, 30)

    low: float = 0.0
    high: float = 0.25

    @classmethod
    def variants(cls):
        return cls(), cls(0.3, 0.8)

    def __post_init__(self):
        if not 0 <= self.low <= self.high <= 1:
            raise ReverieError(f"{self} needs 0 <= low <= high <= 1, in units of half the sample rate")

    def shape(self, x):
        if len(x) != 2:
            raise ReverieError(f"{self} acts on sounds, channels x time, not on {said(x)}")
        return x

    def forward(self, x):
        return hartley(self._kept(x.shape[-1]).to(x) * hartley(x, 1), 1)

    adjoint = forward
    pseudo_inverse = forward

    def spectrum(self, x):
        return Spectrum(self._kept(x[-1]).double(), lambda x: hartley(x, 1), lambda c: hartley(c, 1))

    def _kept(self, T: int) -> Tensor:
        f = torch.fft.fftfreq(T, dtype=torch.float64).abs() * 2
        return (self.low <= f) & (f <= self.high)
