"""Mixtures of Gaussians."""

import math

import torch
from torch import Tensor

from ..denoisers import Estimate
from ..schedules import Schedule, onto
from .base import Oracle, level
from .normal import condition


class Mixture(Oracle):
    """x ~ sum_k w_k N(m_k, C_k), C_k = U_k diag(s_k^2) U_k^T; x_t (..., D).

    With v_k = alpha_t^2 s_k^2 + sigma_t^2 and z_k = U_k^T (x_t - alpha_t m_k):

        x_hat = sum_k r_k (m_k + U_k (alpha_t s_k^2 / v_k z_k)),    r_k ~ w_k N(z_k; 0, diag(v_k))
        score = -sum_k r_k U_k (z_k / v_k),                        p_t = sum_k w_k N(z_k; 0, diag(v_k))

    `given(weights=...)`, (K,) or (B, K), is the same data with other weights: one component is a class.
    """

    def __init__(
        self, schedule: Schedule, weights: Tensor, means: Tensor, stds: Tensor, axes: Tensor | None = None
    ) -> None:
        """weights (K,), means (K, D), stds (K,) or, one an axis, (K, D); axes (K, D, D), columns; None: the coordinates."""
        super().__init__()
        self.schedule, self.means = schedule, means.double()
        self.weights = weights.double() / weights.double().sum()
        self.stds = stds.double() if stds.ndim == 2 else stds.double()[:, None]
        self.axes = None if axes is None else axes.double()

    @classmethod
    def of(cls, schedule: Schedule, weights: Tensor, means: Tensor, covariances: Tensor) -> "Mixture":
        """Of covariances (K, D, D), symmetric and not negative."""
        variances, axes = torch.linalg.eigh(covariances.double())
        return cls(schedule, weights, means, variances.clamp(min=0).sqrt(), axes)

    @property
    def covariances(self) -> Tensor:
        """(K, D, D)"""
        D = self.means.shape[1]
        U = torch.eye(D, dtype=torch.float64) if self.axes is None else self.axes
        return (U * self.stds[:, None, :] ** 2) @ U.mT

    def forward(self, x_t, t, weights=None):
        m, s, alpha_t, v, z = self._at(x_t, t)
        r = self._logits(x_t, v, z, weights).softmax(-1).unsqueeze(-1)
        gain = torch.where(v > 0, alpha_t * s**2 / v, 0)
        return Estimate((r * (m + self._back(gain * z))).sum(-2))

    def score(self, x_t, t, weights=None):
        _, _, _, v, z = self._at(x_t, t)
        r = self._logits(x_t, v, z, weights).softmax(-1).unsqueeze(-1)
        return -(r * self._back(z / v)).sum(-2)

    def log_prob(self, x_t, t, weights=None):
        _, _, _, v, z = self._at(x_t, t)
        return self._logits(x_t, v, z, weights).logsumexp(-1) - x_t.shape[-1] / 2 * math.log(2 * math.pi)

    def responsibilities(self, x_t: Tensor, t: Tensor | float, weights: Tensor | None = None) -> Tensor:
        """(..., K): the probability that x_t came from each component."""
        _, _, _, v, z = self._at(x_t, t)
        return self._logits(x_t, v, z, weights).softmax(-1)

    def sample(self, noise, t=0.0, weights=None):
        B, D = len(noise.place), self.means.shape[1]
        w = (self.weights if weights is None else weights.double()).expand(B, -1)
        u = noise.uniform(torch.empty(B, dtype=torch.float64)) * w.sum(-1)
        k = (w.cumsum(-1) < u[:, None]).sum(-1).clamp(max=w.shape[-1] - 1)
        z = noise.draw(torch.empty(B, D, dtype=torch.float64))
        alpha_t, sigma_t = level(z, self.schedule, t)
        z = ((alpha_t * self.stds[k]) ** 2 + sigma_t**2).sqrt() * z
        z = z if self.axes is None else (self.axes[k] @ z[..., None])[..., 0]
        return alpha_t * self.means[k] + z

    def marginal(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """Mean (D,) and covariance (D, D) of x_t."""
        alpha_t, sigma_t = self.schedule(t)
        mean, D = self.weights @ self.means, self.means.shape[1]
        gap = self.means - mean
        covariance = (self.weights[:, None, None] * (self.covariances + gap[:, :, None] * gap[:, None, :])).sum(0)
        return alpha_t * mean, alpha_t**2 * covariance + sigma_t**2 * torch.eye(D, dtype=torch.float64)

    def posterior(self, y: Tensor, A: Tensor, std: Tensor | float) -> "Mixture":
        """p(x | y) for y = A x + std z, a mixture again: y (M,), A (M, D), std a number or (M,)."""
        means, covariances, log_likelihood = condition(self.means, self.covariances, y, A, std)
        return Mixture.of(self.schedule, (self.weights.log() + log_likelihood).softmax(-1), means, covariances)

    def cdf(self, x: Tensor, t: Tensor | float) -> Tensor:
        """P(x_t <= x) in one dimension; x (..., 1)."""
        return self._tails(x.double(), t)[0].exp()

    def quantile(self, p: Tensor, t: Tensor | float) -> Tensor:
        """The inverse of `cdf`, by bisection; p (..., 1) in (0, 1)."""
        p = p.double()
        z = torch.special.ndtri(p)
        return self._bisected(p.log(), (-p).log1p(), z, z, t)

    def flow(self, x_t: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor:
        """Where the probability-flow ODE takes x_t (..., 1) by time s, float64: in one dimension it keeps quantiles.

        Logarithms of both tails are matched, so it is right at a hundred deviations too. Raises ValueError in more
        dimensions, where the flow has no closed form.
        """
        if self.means.shape[1] > 1:
            raise ValueError("a mixture's flow is known in one dimension alone: take flow_maps.Integrated(mixture)")
        x_t = x_t.double()
        z = self._deviations(x_t, t)
        return self._bisected(*self._tails(x_t, t), z.amin(-1, keepdim=True), z.amax(-1, keepdim=True), s)

    def _bisected(self, below: Tensor, above: Tensor, lowest: Tensor, highest: Tensor, t: Tensor | float) -> Tensor:
        """x at time t with these log-probabilities below and above it, known to lie between so many deviations of all."""
        alpha_t, sigma_t = onto(below, *self.schedule(t))
        m, s = self.means[:, 0], self.stds[:, 0]
        std_t = ((alpha_t * s) ** 2 + sigma_t**2).sqrt()
        low = (alpha_t * m + std_t * lowest).amin(-1, keepdim=True)
        high = (alpha_t * m + std_t * highest).amax(-1, keepdim=True)
        for _ in range(64):
            x = (low + high) / 2
            under, over = self._tails(x, t)
            later = torch.where(below < above, under < below, over > above)  # the smaller tail is the exact one
            low, high = torch.where(later, x, low), torch.where(later, high, x)
        return x

    def _tails(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """log P(x_t <= x) and log P(x_t > x), (..., 1)."""
        z, log_w = self._deviations(x, t), self.weights.log()
        below, above = ((log_w + torch.special.log_ndtr(side)).logsumexp(-1, keepdim=True) for side in (z, -z))
        return below.clamp(max=0), above.clamp(max=0)

    def _deviations(self, x: Tensor, t: Tensor | float) -> Tensor:
        """(..., K): how many deviations of each component x (..., 1) lies above its mean."""
        alpha_t, sigma_t = onto(x, *self.schedule(t))
        return (x - alpha_t * self.means[:, 0]) / ((alpha_t * self.stds[:, 0]) ** 2 + sigma_t**2).sqrt()

    def _at(self, x_t: Tensor, t: Tensor | float) -> tuple[Tensor, ...]:
        """Means, deviations, alpha_t, and v and z, (..., K, D) each or broadcasting to it."""
        coefficients = onto(x_t, *self.schedule(t)) if self.axes is None else level(x_t, self.schedule, t)
        alpha_t, sigma_t = (c.unsqueeze(-2) for c in coefficients)
        m, s = self.means.to(x_t), self.stds.to(x_t)
        z = x_t.unsqueeze(-2) - alpha_t * m
        if self.axes is not None:
            z = torch.einsum("...kd,kde->...ke", z, self.axes.to(x_t))
        return m, s, alpha_t, (alpha_t * s) ** 2 + sigma_t**2, z

    def _back(self, z: Tensor) -> Tensor:
        """From the axes of each component to coordinates."""
        return z if self.axes is None else torch.einsum("...ke,kde->...kd", z, self.axes.to(z))

    def _logits(self, x_t: Tensor, v: Tensor, z: Tensor, weights: Tensor | None) -> Tensor:
        """log w_k N(z_k; 0, diag(v_k)), (..., K), less the constant; a component without width or noise is a point."""
        w = self.weights if weights is None else weights / weights.sum(-1, keepdim=True)
        if w.ndim == 2:
            w = w.reshape(len(w), *[1] * (x_t.ndim - 2), w.shape[1])
        v = v.expand(z.shape).clamp(min=torch.finfo(v.dtype).tiny ** 0.5)
        return w.to(x_t).log() - (z**2 / v + v.log()).sum(-1) / 2
