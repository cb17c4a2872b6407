"""Oracles: data whose denoiser and flow are known exactly, to test samplers against."""

import torch
from torch import Tensor

from .denoisers import Denoiser, Estimate
from .schedules import Schedule, onto


class Normal(Denoiser):
    """x ~ N(m, C), any covariance C = U diag(l) U^T; x_t (..., D).

    x_hat = m + U diag(alpha_t l / (alpha_t^2 l + sigma_t^2)) U^T (x_t - alpha_t m)
    """

    def __init__(self, schedule: Schedule, mean: Tensor, covariance: Tensor) -> None:
        """mean (D,), covariance (D, D), symmetric and not negative."""
        super().__init__()
        self.schedule, self.mean = schedule, mean.double()
        self.variances, self.axes = torch.linalg.eigh(covariance.double())
        self.variances = self.variances.clamp(min=0)

    def forward(self, x_t, t):
        alpha_t, sigma_t = onto(x_t, *self.schedule(t))
        m, l, U = (p.to(x_t) for p in (self.mean, self.variances, self.axes))
        gain = alpha_t * l / (alpha_t**2 * l + sigma_t**2)
        return Estimate(m + (gain * ((x_t - alpha_t * m) @ U)) @ U.mT)

    def flow(self, x_t: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor:
        """Where the probability-flow ODE takes x_t (B, D) by time s: along each axis it keeps the number of deviations."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.schedule(t), self.schedule(s)
        stretch = ((alpha_s**2 * self.variances + sigma_s**2) / (alpha_t**2 * self.variances + sigma_t**2)).sqrt()
        return alpha_s * self.mean + (stretch * ((x_t - alpha_t * self.mean) @ self.axes)) @ self.axes.mT

    def marginal(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Mean (D,) and covariance (D, D) of x_t."""
        alpha_t, sigma_t = self.schedule(t)
        return alpha_t * self.mean, (self.axes * (alpha_t**2 * self.variances + sigma_t**2)) @ self.axes.mT


class Mixture(Denoiser):
    """x ~ sum_k w_k N(m_k, s_k^2 I); x_t (..., D). With v_k = alpha_t^2 s_k^2 + sigma_t^2 and z_k = x_t - alpha_t m_k:

        x_hat = sum_k r_k (m_k + alpha_t s_k^2 / v_k z_k),    r_k ~ w_k N(z_k; 0, v_k I)

    `given(weights=...)`, (K,) or (B, K), is the same data with other weights: one component is a class.
    """

    def __init__(self, schedule: Schedule, weights: Tensor, means: Tensor, stds: Tensor) -> None:
        """weights (K,), means (K, D), stds (K,)."""
        super().__init__()
        self.schedule = schedule
        self.weights, self.means, self.stds = weights.double(), means.double(), stds.double()[:, None]

    def forward(self, x_t, t, weights=None):
        alpha_t, sigma_t = (c.unsqueeze(-2) for c in onto(x_t, *self.schedule(t)))
        w, m, s = (p.to(x_t) for p in (self.weights if weights is None else weights, self.means, self.stds))
        v = (alpha_t * s) ** 2 + sigma_t**2
        z = x_t.unsqueeze(-2) - alpha_t * m
        r = (w.log() - (z**2 / v + v.log()).sum(-1) / 2).softmax(-1).unsqueeze(-1)
        return Estimate((r * (m + alpha_t * s**2 / v * z)).sum(-2))

    def cdf(self, x: Tensor, t: Tensor | float) -> Tensor:
        """P(x_t <= x) in one dimension; x (..., 1) in float64."""
        alpha_t, sigma_t = self.schedule(t)
        m, s = self.means[:, 0], self.stds[:, 0]
        z = (x - alpha_t * m) / ((alpha_t * s) ** 2 + sigma_t**2).sqrt()
        return (self.weights * torch.special.ndtr(z)).sum(-1, keepdim=True)

    def quantile(self, p: Tensor, t: Tensor | float) -> Tensor:
        """The inverse of `cdf`, by bisection."""
        alpha_t, sigma_t = self.schedule(t)
        high = (alpha_t * self.means.abs().max() + 10 * (alpha_t * self.stds.max() + sigma_t)).expand_as(p)
        low = -high
        for _ in range(64):
            x = (low + high) / 2
            below = self.cdf(x, t) < p
            low, high = torch.where(below, x, low), torch.where(below, high, x)
        return x

    def flow(self, x_t: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor:
        """Where the probability-flow ODE takes x_t (..., 1) by time s: in one dimension it keeps quantiles."""
        return self.quantile(self.cdf(x_t, t), s)
