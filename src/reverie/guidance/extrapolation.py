"""Guidance as extrapolation from a weak denoiser through a strong one."""

from math import inf

import torch
from torch import Tensor

from ..core.denoisers import Denoiser, Estimate, Given
from ..core.schedules import onto


class Extrapolated(Denoiser):
    """x_hat = weak + scale (strong - weak), at the noise levels inside an interval of log-SNR.

    Classifier-free: strong = d.given(label=y), weak = d.given(label=null). https://arxiv.org/abs/2207.12598
    Autoguidance: weak = a smaller or less trained network. https://arxiv.org/abs/2406.02507
    Limited interval: https://arxiv.org/abs/2404.07724
    Acts on x_hat, and on eps_hat where one is known apart. Scale 1 is neutral: the strong denoiser's answer, bit for
    bit. Where both are one network under two conditions, it is called once on both.
    """

    def __init__(
        self, strong: Denoiser, weak: Denoiser, scale: float, interval: tuple[float, float] = (-inf, inf)
    ) -> None:
        super().__init__()
        self.strong, self.weak, self.scale, self.interval = strong, weak, scale, interval
        self.schedule = strong.schedule

    @classmethod
    def variants(cls, strong, weak):
        return cls(strong, weak, scale=2.0), cls(strong, weak, scale=2.0, interval=(-2.0, 2.0))

    def forward(self, x_t, t, **cond):
        low, high = self.interval
        log_snr = self.schedule.log_snr(t)
        scale = torch.where((low <= log_snr) & (log_snr <= high), self.scale, 1.0)
        if (scale == 1).all():
            return self.strong(x_t, t, **cond)
        strong, weak = together(self.strong, self.weak, x_t, t, **cond)
        (scale,) = onto(x_t, scale)
        eps_hat = None
        if strong.eps_hat is not None or weak.eps_hat is not None:
            eps_hat = weak.eps(x_t, *self.schedule(t)).lerp(strong.eps(x_t, *self.schedule(t)), scale)
        return strong._replace(x_hat=weak.x_hat.lerp(strong.x_hat, scale), eps_hat=eps_hat)


def together(one: Denoiser, other: Denoiser, x_t: Tensor, t: Tensor, **cond: Tensor) -> tuple[Estimate, Estimate]:
    """Both estimates, by one call on a batch of twice the size where they are one denoiser under two conditions."""
    if not (isinstance(one, Given) and isinstance(other, Given) and one.denoiser is other.denoiser):
        return one(x_t, t, **cond), other(x_t, t, **cond)
    n, a, b = len(x_t), one.cond | cond, other.cond | cond
    if a.keys() != b.keys() or not all(len(v) == len(b[k]) == n and v.shape == b[k].shape for k, v in a.items()):
        return one(x_t, t, **cond), other(x_t, t, **cond)
    twice = torch.cat([t, t]) if t.ndim and len(t) == n > 1 else t
    both = one.denoiser(torch.cat([x_t, x_t]), twice, **{k: torch.cat([v, b[k]]) for k, v in a.items()})
    one_hat, other_hat = (Estimate(*[None if part is None else part.chunk(2)[i] for part in both]) for i in (0, 1))  # type: ignore[arg-type]
    return one_hat, other_hat
