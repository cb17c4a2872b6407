"""Guidance as extrapolation from a weak denoiser through a strong one."""

from math import inf

import torch

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from .base import Contrast, noise


class Extrapolated(Contrast):
    """From the weak guess through the strong one and on, at the noise levels inside an interval of log-SNR.

        x_hat = weak + scale (strong - weak)

    Classifier-free: strong = d.given(label=y), weak = d.given(label=null). https://arxiv.org/abs/2207.12598
    Negative condition: weak = d.given(label=what it should not be).
    Autoguidance: weak = a smaller or less trained network. https://arxiv.org/abs/2406.02507
    Limited interval: https://arxiv.org/abs/2404.07724
    Acts on x_hat, and on eps_hat where one is known apart. Where both are one network under two conditions, it is called
    once on both.
    """

    space = "x"
    neutral = {"scale": 1.0}  # noqa: RUF012

    def __init__(
        self, strong: Denoiser, weak: Denoiser, scale: float = 2.0, interval: tuple[float, float] = (-inf, inf)
    ) -> None:
        super().__init__(strong, weak)
        self.scale, self.interval = scale, interval

    @classmethod
    def variants(cls, strong, weak):
        return cls(strong, weak, scale=2.0), cls(strong, weak, scale=2.0, interval=(-2.0, 2.0))

    def still(self, t):
        low, high = self.interval
        log_snr = self.schedule.log_snr(t)
        return ~((low <= log_snr) & (log_snr <= high)) | (self.scale == 1)

    def guess(self, found, x_t, t, on):
        strong, weak = found[:2]
        (scale,) = onto(x_t, torch.where(self.still(t), 1.0, self.scale))
        eps_hat = None
        if strong.eps_hat is not None or weak.eps_hat is not None:
            eps_hat = noise(weak, x_t, t, self.schedule).lerp(noise(strong, x_t, t, self.schedule), scale)
        return strong._replace(x_hat=weak.x_hat.lerp(strong.x_hat, scale), eps_hat=eps_hat)
