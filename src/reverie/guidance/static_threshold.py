"""Guesses clamped to the range of the data."""

from math import inf

from ..core.denoisers import Denoiser
from .base import Around, noise


class StaticThreshold(Around):
    """The guess clamped to the range of the data, x_hat = clamp(x_hat, *range).

    The noise stays the network's own; with `implied`, it is what the clamped guess leaves, as Ho et al. 2020 sample.
    Saharia et al. 2022, https://arxiv.org/abs/2205.11487, section 2.3
    """

    space = "x"
    neutral = {"range": (-inf, inf)}  # noqa: RUF012

    def __init__(self, denoiser: Denoiser, range: tuple[float, float], implied: bool = False) -> None:
        """`range` is that of the data in model space: `codec.range`."""
        super().__init__(denoiser)
        self.range, self.implied = range, implied

    @classmethod
    def variants(cls, strong, weak):
        return (cls(weak, range=(-0.8, 0.8)),)

    def still(self, t):
        return self.inner_still(t) & (self.range == (-inf, inf))

    def guess(self, found, x_t, t, on):
        guided = self.inner(found, x_t, t, on)
        if self.range == (-inf, inf):
            return guided
        eps_hat = None if self.implied else noise(guided, x_t, t, self.schedule)
        return guided._replace(x_hat=guided.x_hat.clamp(*self.range), eps_hat=eps_hat)
