"""Some points of a cloud."""

from dataclasses import dataclass

import torch

from ...errors import ReverieError
from .base import Operator, Spectrum, said


@dataclass(frozen=True)
class Points(Operator):
    """y (B, M, C) are the points of x (B, N, C) of these indices, in this order. Singular values 1 and 0."""

    example = (12, 3)

    index: tuple[int, ...]
    count: int
    """N"""

    @classmethod
    def variants(cls):
        return (cls((7, 2, 3, 11), 12),)

    def __post_init__(self):
        if len(set(self.index)) < len(self.index) or not all(0 <= i < self.count for i in self.index):
            raise ReverieError(f"the points to keep must be different ones of 0 to {self.count - 1}")

    def __repr__(self) -> str:
        return f"Points({len(self.index)} of {self.count})"

    def shape(self, x):
        if len(x) < 2 or x[0] != self.count:
            raise ReverieError(f"{self} needs samples of {self.count} points x coordinates, not {said(x)}")
        return len(self.index), *x[1:]

    def forward(self, x):
        return x[:, list(self.index)]

    def adjoint(self, y):
        x = y.new_zeros(len(y), self.count, *y.shape[2:])
        return x.index_copy(1, torch.tensor(self.index, dtype=torch.int64, device=y.device), y)

    pseudo_inverse = adjoint

    def spectrum(self, x):
        s = torch.zeros(self.count, *[1] * (len(x) - 1), dtype=torch.float64)
        s[list(self.index)] = 1
        return Spectrum(s, lambda x: x, lambda c: c)
