"""Pseudo-inverse guidance."""

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from ..errors import ReverieError
from ..guidance.base import moved, noise
from .base import Posterior, differentiated, measurement, spread
from .operators.base import Operator, measured, told


class PiGDM(Posterior):
    """p(x | x_t) taken for N(x_hat, r_t^2 I), so that y given x_t is a Gaussian, whose gradient goes through the guess.

        e = V^T A^+ y - V^T x_hat,    K = r_t^2 s^2 / (r_t^2 s^2 + std_y^2),    J = d x_hat / d x_t
        x_hat <- x_hat + sigma_t^2 / alpha_t J^T V (1 - K^power) K e / r_t^2,    and the noise goes with it
        x_hat <- x_hat + alpha_t J^T V K^power K e,                              and the noise stays

    with r_t^2 the variance of x given x_t for data of deviation `std_data`, and K, of each coordinate, how much of what y says
    is not its noise. The first is that Gaussian's gradient. The second is the step of the paper, which knows no noise, K = 1:
    stronger, the more so the more steps there are, and right where the guess is to agree with y at each. Each has the
    coordinates that it is right for; `power` of infinity is the gradient alone, where y is noisy, and 0 the paper's alone.
    Raises ReverieError for a power below 0. Song et al. 2023, https://openreview.net/forum?id=9_gsMA8MRKQ
    """

    needs = frozenset({"spectrum"})

    def __init__(
        self, denoiser: Denoiser, y: Tensor, operator: Operator, std_y: float = 0.0, std_data: float = 1.0,
        power: float = 4.0,
    ) -> None:  # fmt: skip
        super().__init__(denoiser, y, operator, std_y)
        if not power >= 0:
            raise ReverieError(
                f"the power of PiGDM is 0 or more, not {power:g}: 4 is the default, inf the gradient alone"
            )
        self.std_data, self.power = std_data, power

    def forward(self, x_t, t, **cond):
        estimate, near, covariance = differentiated(self.denoiser, x_t, t, **cond)
        spectrum = self.operator.spectrum(tuple(x_t.shape[1:]))
        known = measured(spectrum, self.operator, measurement(self.y, self.operator, x_t))
        alpha, sigma = self.schedule(near)
        snr, r_2 = onto(
            x_t, torch.where(sigma > 0, (alpha / sigma) ** 2, 0), spread(self.schedule, near, self.std_data)
        )
        (s_2,) = told(x_t, spectrum.s**2)
        v = s_2 * r_2 + self.std_y**2
        weight, K = (torch.where((s_2 > 0) & (v > 0), of / v, 0) for of in (s_2, s_2 * r_2))
        e, stays = known - spectrum.to(estimate.x_hat), K**self.power
        pull, led = snr * covariance(spectrum.back(stays * K * e)), estimate
        if self.std_y:
            gradient = covariance(spectrum.back((1 - stays) * weight * e))
            led = moved(estimate, estimate.x_hat + gradient, x_t, t, self.schedule)
        return led._replace(x_hat=led.x_hat + pull, eps_hat=noise(led, x_t, t, self.schedule))
