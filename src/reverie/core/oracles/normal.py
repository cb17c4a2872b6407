"""Gaussian data."""

import math

import torch
from torch import Tensor

from ..denoisers import Estimate
from ..schedules import Schedule
from .base import Oracle, level


class Normal(Oracle):
    """x ~ N(m, C), any covariance C = U diag(l) U^T; x_t (..., D). With v = alpha_t^2 l + sigma_t^2:

    x_hat = m + U diag(alpha_t l / v) U^T (x_t - alpha_t m),    p_t = N(alpha_t m, U diag(v) U^T)
    """

    def __init__(self, schedule: Schedule, mean: Tensor, covariance: Tensor) -> None:
        """mean (D,), covariance (D, D), symmetric and not negative."""
        super().__init__()
        self.schedule, self.mean = schedule, mean.double()
        self.variances, self.axes = torch.linalg.eigh(covariance.double())
        self.variances = self.variances.clamp(min=0)

    def forward(self, x_t, t):
        m, l, U, alpha_t, v = self._at(x_t, t)
        gain = torch.where(v > 0, alpha_t * l / v, 0)
        return Estimate(m + (gain * ((x_t - alpha_t * m) @ U)) @ U.mT)

    def score(self, x_t, t):
        m, _, U, alpha_t, v = self._at(x_t, t)
        return -(((x_t - alpha_t * m) @ U) / v) @ U.mT

    def log_prob(self, x_t, t):
        m, _, U, alpha_t, v = self._at(x_t, t)
        return -(((x_t - alpha_t * m) @ U) ** 2 / v + v.log() + math.log(2 * math.pi)).sum(-1) / 2

    def sample(self, noise, t=0.0):
        z = noise.draw(torch.empty(len(noise.place), len(self.mean), dtype=torch.float64))
        m, _, U, alpha_t, v = self._at(z, t)
        return alpha_t * m + (v.sqrt() * z) @ U.mT

    def flow(self, x_t: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor:
        """Where the probability-flow ODE takes x_t (B, D) by time s: along each axis it keeps the number of deviations."""
        m, _, U, alpha_t, v_t = self._at(x_t, t)
        _, _, _, alpha_s, v_s = self._at(x_t, s)
        stretch = torch.where(v_t > 0, v_s / v_t, 0).sqrt()
        return alpha_s * m + (stretch * ((x_t - alpha_t * m) @ U)) @ U.mT

    def marginal(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Mean (D,) and covariance (D, D) of x_t."""
        alpha_t, sigma_t = self.schedule(t)
        return alpha_t * self.mean, (self.axes * (alpha_t**2 * self.variances + sigma_t**2)) @ self.axes.mT

    def posterior(self, y: Tensor, A: Tensor, std: Tensor | float) -> "Normal":
        """p(x | y) for y = A x + std z: y (M,), A (M, D), std a number or (M,)."""
        means, covariances, _ = condition(self.mean[None], self.marginal(0.0)[1][None], y, A, std)
        return Normal(self.schedule, means[0], covariances[0])

    def _at(self, x_t: Tensor, t: Tensor | float) -> tuple[Tensor, ...]:
        alpha_t, sigma_t = level(x_t, self.schedule, t)
        m, l, U = (p.to(x_t) for p in (self.mean, self.variances, self.axes))
        return m, l, U, alpha_t, alpha_t**2 * l + sigma_t**2


def condition(
    means: Tensor, covariances: Tensor, y: Tensor, A: Tensor, std: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """K Gaussians N(m, C) given y = A x + std z, and the log-likelihood (K,) that each gives to y, in float64.

        G = C A^T S^-1,    S = A C A^T + std^2:    m + G (y - A m),    (I - G A) C (I - G A)^T + std^2 G G^T

    means (K, D), covariances (K, D, D), y (M,), A (M, D), std a number or (M,). The second form of the covariance
    (Joseph's) stays symmetric and not negative where std is small. Raises ValueError where S is singular.
    """
    y, A = y.double(), A.double()
    noise = torch.as_tensor(std, dtype=torch.float64).expand(len(y)) ** 2
    S = A @ covariances @ A.mT + noise.diag()
    L, failed = torch.linalg.cholesky_ex(S)
    if failed.any():
        raise ValueError("the measurements contradict or repeat each other: give std > 0, or fewer rows of A")
    gap = y - means @ A.mT
    G = torch.cholesky_solve(A @ covariances, L).mT
    kept = torch.eye(means.shape[-1], dtype=torch.float64) - G @ A
    white = torch.linalg.solve_triangular(L, gap[..., None], upper=False)[..., 0]
    log_scale = L.diagonal(dim1=-2, dim2=-1).log().sum(-1) + len(y) / 2 * math.log(2 * math.pi)
    covariance = kept @ covariances @ kept.mT + (G * noise) @ G.mT
    return (
        means + (G @ gap[..., None])[..., 0],
        (covariance + covariance.mT) / 2,
        -white.square().sum(-1) / 2 - log_scale,
    )
