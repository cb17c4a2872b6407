"""Samples as their own features."""

import math

import torch
from torch import Tensor

from .base import Extractor, named_hash


class Pixels(Extractor):
    """The values of a sample in a row, in float64, bytes as k / 127.5 - 1 in [-1, 1].

    Fit for pictures of few pixels, where no network is needed, and for arrays that no network knows.
    """

    SMALL = 128
    """Up to here a thousand samples determine a covariance, and pixels are the first choice."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.eval()

    @property
    def name(self) -> str:
        return "pixels"

    @property
    def dim(self) -> int:
        return math.prod(self.shape)

    @property
    def hash(self) -> str:
        return named_hash(self.name)

    @classmethod
    def claims(cls, shape: tuple[int, ...], dataset: str | None = None) -> int:
        return 4 if math.prod(shape) <= cls.SMALL else 1

    @classmethod
    def build(cls, shape: tuple[int, ...], dataset: str | None = None) -> "Pixels":
        return cls(shape)

    def forward(self, raw: Tensor) -> Tensor:
        values = raw.flatten(1).double()
        return values / 127.5 - 1 if raw.dtype == torch.uint8 else values
