"""Guidance that stays between the two guesses and renoises with the weak one's noise."""

from ..core.denoisers import Denoiser
from .base import Contrast, noise


class CFGpp(Contrast):
    """CFG++: a guess between the weak and the strong one, with the weak one's noise.

        x_hat = weak + scale (strong - weak),    eps_hat = weak's,    scale from 0 to 1

    A DDIM step from t to s is that of classifier-free guidance at the scale

        scale alpha_s sigma_t / (alpha_s sigma_t - alpha_t sigma_s)

    which depends on the step: this is no ODE, and the number of steps is part of the method. Since the noise is always the
    weak one's, no scale gives the conditional denoiser. Chung et al. 2024, https://arxiv.org/abs/2406.08070
    """

    space = "noise"
    neutral = None

    def __init__(self, strong: Denoiser, weak: Denoiser, scale: float = 0.6) -> None:
        super().__init__(strong, weak)
        self.scale = scale

    @classmethod
    def variants(cls, strong, weak):
        return (cls(strong, weak),)

    def guess(self, found, x_t, t, on):
        strong, weak = found[:2]
        return strong._replace(
            x_hat=weak.x_hat.lerp(strong.x_hat, self.scale), eps_hat=noise(weak, x_t, t, self.schedule)
        )
