"""The empirical distribution of a data set."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..denoisers import Estimate
from ..schedules import Schedule, onto
from .base import Oracle


class Empirical(Oracle):
    """x is one of N points x_i, each alike: what a network that learned its training data by heart would guess.

        x_hat = sum_i r_i x_i,    r_i ~ w_i exp(-|x_t - alpha_t x_i|^2 / (2 sigma_t^2)),    x_t (B, *)

    In float64, `chunk` points at a time, with the largest exponent taken out first: at sigma = 0 the guess is the
    nearest point. `given(weights=...)`, (N,) or (B, N), weighs the points.
    """

    def __init__(self, schedule: Schedule, points: Tensor, chunk: int = 1024) -> None:
        """points (N, *)."""
        super().__init__()
        self.schedule, self.points, self.chunk = schedule, points.double(), chunk

    def forward(self, x_t, t, weights=None):
        return Estimate(self._moments(x_t, t, weights)[1].to(torch.promote_types(x_t.dtype, torch.float32)))

    def score(self, x_t, t, weights=None):
        """Raises ValueError at t = 0, where points have no density."""
        self._noisy(t)
        alpha_t, sigma_t = onto(x_t.double(), *self.schedule(t))
        mean = self._moments(x_t, t, weights)[1]
        return ((alpha_t * mean - x_t) / sigma_t**2).to(torch.promote_types(x_t.dtype, torch.float32))

    def log_prob(self, x_t, t, weights=None):
        """Raises ValueError at t = 0, where points have no density."""
        self._noisy(t)
        (sigma_t,) = onto(x_t.double(), self.schedule(t)[1])
        scale = (sigma_t.log() + math.log(2 * math.pi) / 2).expand(x_t.shape).flatten(1).sum(1)
        return (self._moments(x_t, t, weights)[0] - scale).to(torch.promote_types(x_t.dtype, torch.float32))

    def sample(self, noise, t=0.0, weights=None):
        B, N = len(noise.place), len(self.points)
        w = torch.full((N,), 1 / N, dtype=torch.float64) if weights is None else weights.double()
        u = noise.uniform(torch.empty(B, dtype=torch.float64)) * w.sum(-1)
        i = torch.searchsorted(w.cumsum(-1).expand(B, N).contiguous(), u[:, None])[:, 0].clamp(max=N - 1)
        x = self.points[i]
        alpha_t, sigma_t = onto(x, *self.schedule(t))
        return alpha_t * x + sigma_t * noise.draw(x)

    def _moments(self, x_t: Tensor, t: Tensor | float, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """log sum_i w_i exp(-|x_t - alpha_t x_i|^2 / (2 sigma_t^2)), (B,), and the mean of the points, float64."""
        x_t, points = x_t.double(), self.points.to(x_t.device)
        best = x_t.new_full((len(x_t),), -math.inf)
        total, mean = torch.zeros_like(best), torch.zeros_like(x_t.flatten(1))
        for some, logits in self._logits(x_t, t, points, weights):
            top = torch.maximum(best, logits.amax(1))
            top = torch.where(top.isfinite(), top, 0)
            r, kept = (logits - top[:, None]).exp(), (best - top).exp()
            total, mean = kept * total + r.sum(1), kept[:, None] * mean + r @ some.flatten(1)
            best = top
        return best + total.log(), (mean / total[:, None]).reshape(x_t.shape)

    def _logits(
        self, x_t: Tensor, t: Tensor | float, points: Tensor, weights: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Some of the points and the exponents (B, n) of each."""
        alpha_t, sigma_t = (c.unsqueeze(1) for c in onto(x_t, *self.schedule(t)))
        precision = 1 / sigma_t.clamp(min=1e-140) ** 2
        log_w = torch.full((1, len(points)), -math.log(len(points)), dtype=torch.float64)
        if weights is not None:
            log_w = (weights.double() / weights.double().sum(-1, keepdim=True)).log().reshape(-1, len(points))
        for some, w in zip(points.split(self.chunk), log_w.to(x_t.device).split(self.chunk, 1)):
            square = (x_t.unsqueeze(1) - alpha_t * some) ** 2 * precision
            yield some, w - square.flatten(2).sum(2) / 2

    def _noisy(self, t: Tensor | float) -> None:
        if (self.schedule(t)[1] == 0).any():
            raise ValueError("points have no density at t = 0: take a t above 0")
