"""Masks: some entries are known."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.noise import stream
from ...errors import ReverieError
from .base import Operator, Spectrum, said


@dataclass(frozen=True, eq=False)
class Mask(Operator):
    """y = x where `known` is true, and zero elsewhere, where y is not looked at.

    `known` is broadcastable against a sample, (H, W) or (1, H, W) or the like, or with the batch before it, (B, 1, H, W).
    Its singular values are 1 and 0.
    """

    known: Tensor

    @classmethod
    def variants(cls):
        checks = torch.arange(64).reshape(8, 8) % 3 == 0
        return cls(checks), cls.box((8, 8), (2, 3), (3, 4)), cls.random((3, 8, 8), 0.3, seed=1)

    @classmethod
    def box(cls, shape: Sequence[int], start: Sequence[int], size: Sequence[int]) -> "Mask":
        """All but a box of that size is known, its first corner at `start`; two numbers for a picture (H, W), three for
        a volume. Raises ReverieError where the box does not lie inside.
        """
        fits = len(shape) == len(start) == len(size)
        if not fits or not all(i >= 0 and n >= 1 and i + n <= N for i, n, N in zip(start, size, shape)):
            raise ReverieError(f"a box of {said(size)} at {said(start)} does not lie inside {said(shape)}")
        known = torch.ones(*shape, dtype=torch.bool)
        known[tuple(slice(i, i + n) for i, n in zip(start, size))] = False
        return cls(known)

    @classmethod
    def centre(cls, shape: Sequence[int], size: Sequence[int]) -> "Mask":
        """All but a box in the middle is known."""
        return cls.box(shape, [(N - n) // 2 for N, n in zip(shape, size)], size)

    @classmethod
    def random(cls, shape: Sequence[int], keep: float, seed: int = 0) -> "Mask":
        """A share `keep` of the entries, drawn without replacement, is known: exactly so many, rounded."""
        if not 0 <= keep <= 1:
            raise ReverieError(f"the share of entries to keep must lie between 0 and 1, not {keep}")
        known = torch.zeros(*shape, dtype=torch.bool)
        order = torch.randperm(known.numel(), generator=torch.Generator().manual_seed(stream(seed, "mask")))
        known.view(-1)[order[: round(keep * known.numel())]] = True
        return cls(known)

    def __repr__(self) -> str:
        share = self.known.double().mean().item() if self.known.numel() else 0
        return f"Mask({said(self.known.shape)}, {share:.3g} known)"

    def shape(self, x):
        own = tuple(self.known.shape)
        own = own[1:] if len(own) > len(x) else own
        if len(own) > len(x) or any(n not in (1, N) for n, N in zip(own[::-1], x[::-1])):
            raise ReverieError(f"a mask of {said(own)} does not fit samples of {said(x)}: give one of their size")
        return x

    def forward(self, x):
        return torch.where(self.known.to(x.device), x, 0)

    adjoint = forward
    pseudo_inverse = forward

    def spectrum(self, x):
        return Spectrum(self.known.double(), lambda x: x, lambda c: c)
