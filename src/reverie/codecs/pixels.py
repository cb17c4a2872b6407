"""Pictures of 256 levels."""

from dataclasses import dataclass

import torch

from ..errors import ReverieError
from .base import Codec, Measured, spread


@dataclass(frozen=True)
class Pixels(Codec):
    """uint8 levels as z = x / 127.5 - 1 in [-1, 1]; decoding clamps and rounds, so that every level comes back.

    `std` is that of z about its mean, over all pixels and channels. Decoding what is not finite raises ReverieError.
    """

    std: float = 0.5
    range = (-1.0, 1.0)

    @classmethod
    def fit(cls, dataset: Measured) -> "Pixels":
        """The codec with the measured std. Raises ReverieError where every pixel is the same."""
        std = spread(*dataset.statistics()) / 127.5
        if std == 0:
            raise ReverieError(f"{dataset.name}: every pixel of every picture is the same; there is nothing to learn")
        return cls(std)

    def encode(self, raw):
        return raw.to(torch.float32) / 127.5 - 1

    def decode(self, z):
        if not z.isfinite().all():
            raise ReverieError("samples are not finite: a NaN has no pixel, so nothing was made of them")
        return ((z.to(torch.float32).clamp(*self.range) + 1) * 127.5).round().to(torch.uint8)
