"""Guesses brought back into the range of the data without cutting all that stands out."""

from math import inf

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from .base import Around, noise


class DynamicThreshold(Around):
    """The guess clamped to what most of its entries keep to, and then brought into the range of the data.

        z = clamp(z, -s, s) / s,    s = min(max(q, 1), most)

    where z is x_hat about the middle of the range, in units of half of it, and q the `share` quantile of |z| in a sample.
    Saharia et al. 2022, https://arxiv.org/abs/2205.11487, section 2.3; the noise stays the network's own, or is, with
    `implied`, what the new guess leaves.
    """

    space = "x"
    neutral = {"range": (-inf, inf)}  # noqa: RUF012

    def __init__(
        self,
        denoiser: Denoiser,
        range: tuple[float, float],
        share: float = 0.995,
        most: float = inf,
        implied: bool = False,
    ) -> None:
        """`range` is that of the data in model space: `codec.range`. Raises ValueError for no share, or most below 1."""
        super().__init__(denoiser)
        if not (0 <= share <= 1 and most >= 1):
            raise ValueError(f"share is from 0 to 1 and most 1 or more, not {share} and {most}")
        self.range, self.share, self.most, self.implied = range, share, most, implied

    @classmethod
    def variants(cls, strong, weak):
        return (cls(weak, range=(-0.8, 0.8), share=0.7),)

    def still(self, t):
        return self.inner_still(t) & (self.range == (-inf, inf))

    def guess(self, found, x_t, t, on):
        guided = self.inner(found, x_t, t, on)
        if self.range == (-inf, inf):
            return guided
        low, high = self.range
        middle, half = (low + high) / 2, (high - low) / 2
        z = (guided.x_hat - middle) / half
        s = quantile(z.abs(), self.share).clamp(1, self.most)
        z = torch.minimum(torch.maximum(z, -s), s) / s
        eps_hat = None if self.implied else noise(guided, x_t, t, self.schedule)
        return guided._replace(x_hat=middle + half * z, eps_hat=eps_hat)


def quantile(x: Tensor, share: float) -> Tensor:
    """Of the entries of each sample, linear between neighbours, (B, 1, ...); `torch.quantile` takes no large pictures."""
    ordered = x.flatten(1).sort(1).values
    place = share * (ordered.shape[1] - 1)
    low, high = (ordered[:, int(i)] for i in (place, min(place + 1, ordered.shape[1] - 1)))
    return low.lerp(high, place % 1).reshape(-1, *[1] * (x.ndim - 1))
