"""Runge and Kutta's method of order 4."""

from dataclasses import dataclass

from .base import Cost, Sampler
from .runge_kutta import BOGACKI_SHAMPINE, CLASSICAL, runge_kutta


@dataclass(frozen=True)
class RK4(Sampler):
    """The classical Runge-Kutta method for what DDIM's step leaves over of the flow, in the angle atan(sigma / alpha).

        x_s = r (cos(a) x_hat_t + sin(a) eps_t + da (k_1 + 2 k_2 + 2 k_3 + k_4) / 6)    k of `runge_kutta`, k_1 = 0

    Regular where alpha = 0. To the data, where there is no noise for k_4 to guess, the step is Bogacki and Shampine's
    of order 3. Hairer, Nørsett & Wanner 1993, https://doi.org/10.1007/978-3-540-78862-1, section II.1
    """

    order = 4

    @property
    def evaluations(self):
        return Cost(4, to_data=3)

    def step(self, denoiser, x_t, t, s, memory, noise):
        return runge_kutta(CLASSICAL if s > 0 else BOGACKI_SHAMPINE, denoiser, x_t, t, s).x_s, memory
