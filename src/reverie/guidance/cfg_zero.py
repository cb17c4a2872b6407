"""Guidance of flows whose weak velocity is known to a factor."""

from math import inf

import torch

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from .base import Contrast, inner_product, moved


class CFGZero(Contrast):
    """CFG-Zero*: the weak velocity is first fitted to the strong one, sample by sample.

        v = s weak + scale (strong - s weak),    s = <strong, weak> / <weak, weak>

    The velocities are those of a straight path, v = eps - x = (x_t - (alpha_t + sigma_t) x_hat) / sigma_t, whatever the
    schedule. Below log-SNR `zeroed` v is zero, as the paper has it in the first steps of a network that is not trained
    enough; by default nowhere. Where the noise varies within a sample, s weighs each entry by sigma_t^2.
    Fan et al. 2025, https://arxiv.org/abs/2503.18886
    """

    space = "velocity"
    neutral = {"scale": 1.0}  # noqa: RUF012

    def __init__(self, strong: Denoiser, weak: Denoiser, scale: float = 3.0, zeroed: float = -inf) -> None:
        super().__init__(strong, weak)
        self.scale, self.zeroed = scale, zeroed

    @classmethod
    def variants(cls, strong, weak):
        return (cls(strong, weak),)

    def still(self, t):
        return (self.schedule.log_snr(t) >= self.zeroed) & (self.scale == 1)

    def guess(self, found, x_t, t, on):
        alpha_t, sigma_t = self.schedule(t)
        (both,) = onto(x_t, alpha_t + sigma_t)
        strong, weak = (x_t - both * one.x_hat for one in found[:2])  # sigma_t v, finite at both ends
        square = inner_product(weak, weak)
        s = torch.where(square > 0, inner_product(strong, weak) / square, 1)
        weak = (s * weak).to(strong.dtype)
        moving = onto(x_t, self.schedule.log_snr(t) >= self.zeroed)[0] > 0
        v = torch.where(moving, weak + self.scale * (strong - weak), 0)
        x_hat = torch.where(onto(x_t, self.still(t))[0] > 0, found[0].x_hat, (x_t - v) / both)
        return moved(found[0], x_hat, x_t, t, self.schedule)
