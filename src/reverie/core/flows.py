"""The probability-flow ODE of every schedule as one rotation, regular at both ends and without a derivative in time."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .denoisers import Denoiser
from .schedules import Schedule, onto


@dataclass(frozen=True)
class Rotation:
    """The flow in the angle u and in y = x / r, where alpha_t = r cos u, sigma_t = r sin u:

        y = x_hat cos u + eps_hat sin u,    dy/du = eps_hat cos u - x_hat sin u

    From u = 0, the data, to pi/2, pure noise. It follows from dx = x_hat dalpha + eps_hat dsigma, in which r cancels.
    """

    schedule: Schedule

    def angle(self, t: Tensor | float) -> Tensor:
        alpha_t, sigma_t = self.schedule(t)
        return torch.atan2(sigma_t, alpha_t)

    def time(self, u: Tensor) -> Tensor:
        return torch.where(u < math.pi / 2, self.schedule.time(-2 * u.tan().log()), 1.0)

    def radius(self, t: Tensor | float) -> Tensor:
        return torch.hypot(*self.schedule(t))

    def velocity(self, denoiser: Denoiser, y: Tensor, u: Tensor) -> Tensor:
        """dy/du at y (B, *), for u > 0 in float64, `()` or (B,)."""
        t = self.time(u)
        alpha_t, sigma_t = self.schedule(t)
        r, cos, sin = onto(y, torch.hypot(alpha_t, sigma_t), u.cos(), u.sin())
        estimate = denoiser(r * y, t)
        return cos * estimate.eps(r * y, alpha_t, sigma_t) - sin * estimate.x_hat
