"""Guidance at some noise levels alone."""

from math import inf

from ..core.denoisers import Denoiser
from .base import Around, where


class Limited(Around):
    """The guided guess where low <= log-SNR <= high, elsewhere the conditional one, and nothing else is asked.

    At high noise guidance narrows what can come, at low noise it costs calls and changes little.
    Kynkäänniemi et al. 2024, https://arxiv.org/abs/2404.07724, in whose terms log-SNR = -2 log sigma
    """

    space = "x"
    neutral = {"low": inf, "high": -inf}  # noqa: RUF012

    def __init__(self, denoiser: Denoiser, low: float = -3.0, high: float = 3.0) -> None:
        super().__init__(denoiser)
        self.low, self.high = low, high

    @classmethod
    def variants(cls, strong, weak):
        from .extrapolation import Extrapolated

        return (cls(Extrapolated(strong, weak, 2.0), low=-2.0, high=2.0),)

    def inside(self, t):
        log_snr = self.schedule.log_snr(t)
        return (self.low <= log_snr) & (log_snr <= self.high)

    def still(self, t):
        return ~self.inside(t) | self.inner_still(t)

    def guess(self, found, x_t, t, on):
        inside = self.inside(t)
        return where(inside, self.inner(found, x_t, t, on & inside), found[0], x_t, t, self.schedule)
