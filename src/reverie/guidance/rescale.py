"""Guidance that keeps the contrast of the conditional guess."""

import torch

from ..core.denoisers import Denoiser
from .base import Around, moved


class Rescaled(Around):
    """The guided guess with some of its standard deviation exchanged for that of the conditional one.

        x_hat = share (std(strong) / std(guided)) guided + (1 - share) guided

    so that std(x_hat) = share std(strong) + (1 - share) std(guided), over the entries of each sample. Lin et al. 2023, https://arxiv.org/abs/2305.08891
    """

    space = "x"
    neutral = {"share": 0.0}  # noqa: RUF012

    def __init__(self, denoiser: Denoiser, share: float = 0.7) -> None:
        super().__init__(denoiser)
        self.share = share

    @classmethod
    def variants(cls, strong, weak):
        from .extrapolation import Extrapolated

        return (cls(Extrapolated(strong, weak, 2.0)),)

    def still(self, t):
        return self.inner_still(t)

    def guess(self, found, x_t, t, on):
        guided = self.inner(found, x_t, t, on)
        std, wanted = (spread(one.x_hat) for one in (guided, found[0]))
        ratio = torch.where(std > 0, wanted / std, 1)
        gain = (1 + self.share * (ratio - 1)).to(guided.x_hat.dtype)
        return moved(guided, gain * guided.x_hat, x_t, t, self.schedule)


def spread(x):
    """The standard deviation over the entries of each sample, (B, 1, ...) in float64."""
    return x.double().flatten(1).std(1, correction=0).reshape(-1, *[1] * (x.ndim - 1))
