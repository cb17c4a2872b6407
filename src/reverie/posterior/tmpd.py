"""Tweedie moment projection."""

import torch

from .base import Gradient


class TMPD(Gradient):
    """Moment matching with the sum of each row in place of the covariance's matrix: no system to solve.

        x_hat <- x_hat + V A^T (y - A x_hat) / (std_y^2 + A V A^T 1),    V = sigma_t^2 / alpha_t d x_hat / d x_t

    Row sums below the mean of a sample's absolute ones count as that: where entries of V cancel, as they do in pictures, a
    row sum says less than the variance, and dividing by it would overshoot without bound.
    Boys et al. 2023, https://arxiv.org/abs/2310.06721
    """

    def __init__(self, denoiser, y, operator, std_y: float = 0.0) -> None:
        super().__init__(denoiser, y, operator, std_y)

    def gap(self, x_hat, t, covariance):
        A, At = self.operator.derivative, self.operator.adjoint
        e = self.residual(x_hat)
        sums = A(covariance(At(torch.ones_like(e))))
        v = self.std_y**2 + torch.maximum(sums, sums.abs().flatten(1).mean(1).reshape(-1, *[1] * (e.ndim - 1)))
        return covariance(At(torch.where(v > 0, e / v, 0)))
