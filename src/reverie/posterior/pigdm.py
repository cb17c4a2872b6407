"""Pseudo-inverse guidance."""

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from .base import Gradient, measurement, spread
from .operators.base import Operator, measured, told


class PiGDM(Gradient):
    """p(x | x_t) taken for N(x_hat, r_t^2 I), so that y given x_t is a Gaussian, whose gradient goes through the guess.

        x_hat <- x_hat + sigma_t^2 / alpha_t J^T A^T (r_t^2 A A^T + std_y^2 I)^-1 (y - A x_hat)

    with r_t^2 the variance of x given x_t for data of deviation `std_data`. Without noise this is A^+ y - A^+ A x_hat, over
    r_t^2. Song et al. 2023, https://openreview.net/forum?id=9_gsMA8MRKQ
    """

    needs = frozenset({"spectrum"})

    def __init__(
        self, denoiser: Denoiser, y: Tensor, operator: Operator, std_y: float = 0.0, std_data: float = 1.0
    ) -> None:
        super().__init__(denoiser, y, operator, std_y)
        self.std_data = std_data

    def gap(self, x_hat, t, covariance):
        spectrum = self.operator.spectrum(tuple(x_hat.shape[1:]))
        known = measured(spectrum, self.operator, measurement(self.y, self.operator, x_hat))
        (r_2,) = onto(x_hat, spread(self.schedule, t, self.std_data))
        (s_2,) = told(x_hat, spectrum.s**2)
        v = s_2 * r_2 + self.std_y**2
        weight = torch.where((s_2 > 0) & (v > 0), s_2 / v, 0)
        return covariance(spectrum.back(weight * (known - spectrum.to(x_hat))))
