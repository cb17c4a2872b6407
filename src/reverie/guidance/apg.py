"""Adaptive projected guidance."""

from math import inf

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from .base import Contrast, inner_product, moved


class APG(Contrast):
    """Guidance without the part along the guess itself, which saturates colours; with memory, and a bound.

        d   <- strong - weak + momentum d              (the d of the last guess of this trajectory)
        d'   = d min(1, limit / rms(d))
        x_hat = strong + (scale - 1) (d' - (1 - eta) <d', strong> / <strong, strong> strong)

    Products and root mean square are those of a sample; the paper's r is limit times the root of the number of entries.
    A negative momentum pushes less where it has pushed already. It counts guesses, so a sampler that makes two a step
    feels it twice. momentum = 0, eta = 1 and no limit is classifier-free guidance.
    Sadat et al. 2024, https://arxiv.org/abs/2410.02416
    """

    space = "x"
    neutral = {"scale": 1.0}  # noqa: RUF012
    remembers = ("d",)

    def __init__(
        self, strong: Denoiser, weak: Denoiser, scale: float = 3.0, eta: float = 0.0, momentum: float = -0.5,
        limit: float = inf,
    ) -> None:  # fmt: skip
        super().__init__(strong, weak)
        self.scale, self.eta, self.momentum, self.limit = scale, eta, momentum, limit
        self.d: Tensor | None = None

    @classmethod
    def variants(cls, strong, weak):
        return (cls(strong, weak, limit=0.2),)

    def still(self, t):
        return super().still(t) | (self.scale == 1)

    def guess(self, found, x_t, t, on):
        strong, weak = found[:2]
        d = strong.x_hat - weak.x_hat
        before = torch.zeros_like(d) if self.d is None else self.d
        d = d + self.momentum * before
        self.d = torch.where(onto(x_t, on)[0] > 0, d, before)
        rms = (inner_product(d, d) / d[0].numel()).sqrt()
        bound = torch.where(rms > self.limit, self.limit / rms, 1)
        square = inner_product(strong.x_hat, strong.x_hat)
        along = torch.where(square > 0, inner_product(d, strong.x_hat) / square, 0)
        d = bound * (d - (1 - self.eta) * along * strong.x_hat)
        x_hat = strong.x_hat + (self.scale - 1) * d.to(strong.x_hat.dtype)
        return moved(strong, x_hat, x_t, t, self.schedule)
