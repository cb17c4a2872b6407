"""Diffusion posterior sampling."""

import torch

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from ..guidance.base import inner_product
from .base import Gradient, spread
from .operators.base import Operator


class DPS(Gradient):
    """Goes down the gradient of the distance between y and what the guess would measure: one norm a sample, not squared.

        x_hat <- x_hat - zeta sqrt(M / v_t) sigma_t^2 / alpha_t grad |y - A(x_hat)|,    v_t = std_y^2 + r_t^2 mean(s^2)

    The paper's gradient, whose length does not grow with the distance. Its zeta belongs to steps of DDPM and to their number;
    here a unit is where a residual of its expected size, M v_t, gets the gradient of the Gaussian likelihood, so that it
    means the same along every grid. M is how many numbers A measures and s their singular values (1 where A is not
    linear), r_t^2 the variance of x given x_t for data of deviation `std_data`. A may be anything with a derivative.
    Chung et al. 2022, https://arxiv.org/abs/2209.14687
    """

    def __init__(
        self,
        denoiser: Denoiser,
        y: torch.Tensor,
        operator: Operator,
        std_y: float = 0.0,
        zeta: float = 1.0,
        std_data: float = 1.0,
    ) -> None:
        super().__init__(denoiser, y, operator, std_y)
        self.zeta, self.std_data = zeta, std_data

    def gap(self, x_hat, t, covariance):
        e = self.residual(x_hat)
        M, power = _size(self.operator, x_hat, e)
        (scale,) = onto(
            x_hat, self.zeta * (M / (self.std_y**2 + power * spread(self.schedule, t, self.std_data))).sqrt()
        )
        back = self.operator.adjoint(e)
        norm = inner_product(e, e).sqrt()
        unit = torch.where(norm > 0, 1 / norm, 0).to(e).reshape(-1, *[1] * (x_hat.ndim - 1))
        return scale * covariance(unit * back)


def _size(operator: Operator, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    """How many numbers are measured, and the mean square of their singular values."""
    if "spectrum" not in operator.offers:
        return y[0].numel(), 1.0
    s = operator.spectrum(tuple(x.shape[1:])).s.expand(x.shape[1:])
    return (s > 0).sum().item(), s[s > 0].square().mean().item() if (s > 0).any() else 1.0
