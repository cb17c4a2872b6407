"""Moment matching."""

from collections.abc import Callable

from torch import Tensor

from ..core.denoisers import Denoiser
from .base import Covariance, Gradient
from .conjugate_residuals import solve
from .operators.base import Operator


class MMPS(Gradient):
    """p(x | x_t) taken for a Gaussian of the right mean and the right covariance, V = sigma_t^2 / alpha_t d x_hat / d x_t.

        x_hat <- x_hat + V A^T (std_y^2 I + A V A^T)^-1 (y - A x_hat)

    The inverse is by `iterations` of conjugate residuals, a backward pass each and no call of the network, which stop where
    the curvature is less than that of the noise, as no covariance makes it. Exact on Gaussian data. Rozet et al. 2024, https://arxiv.org/abs/2405.13712
    """

    def __init__(
        self, denoiser: Denoiser, y: Tensor, operator: Operator, std_y: float = 0.0, iterations: int = 10
    ) -> None:
        super().__init__(denoiser, y, operator, std_y)
        self.iterations = iterations

    def gap(self, x_hat, t, covariance):
        return matched(self.operator, self.std_y, self.residual(x_hat), covariance, self.iterations)[0]


def matched(
    operator: Operator, std_y: float, e: Tensor, covariance: Covariance, iterations: int
) -> tuple[Tensor, Tensor]:
    """V A^T v, shaped like x, and v = S^-1 e, shaped like y."""
    v = solve(spoiled(operator, std_y, covariance), e, iterations, std_y**2)
    return covariance(operator.adjoint(v)), v


def spoiled(operator: Operator, std_y: float, covariance: Covariance) -> Callable[[Tensor], Tensor]:
    """What the covariance of y is taken for, S = std_y^2 I + A V A^T, of what is shaped like y."""
    return lambda v: std_y**2 * v + operator.derivative(covariance(operator.adjoint(v)))
