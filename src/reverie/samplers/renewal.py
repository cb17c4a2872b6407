"""Renewal: a step that keeps a share of the noise of x_t and draws the rest anew."""

import torch
from torch import Tensor

from ..core.denoisers import Estimate
from ..core.schedules import Schedule, onto
from .exponential import exponential_weights
from .forms import OnXHat


def renewed(
    schedule: Schedule, estimate: Estimate, x_t: Tensor, t: Tensor, s: Tensor, kept: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a step that takes the guess for the data and keeps a share of the noise, 0 to 1:

        x_s = alpha_s x_hat + sigma_s (kept eps_hat + sqrt(1 - kept^2) z)

    Where the guess is right every share has the right marginal: 1 is DDIM, `remaining` draws from q(x_s | x_t, x_hat).
    """
    alpha_t, sigma_t = schedule(t)
    alpha_s, sigma_s = schedule(s)
    a, b, std = onto(x_t, alpha_s, sigma_s * kept, sigma_s * (1 - kept**2).clamp(min=0).sqrt())
    return a * estimate.x_hat + b * estimate.eps(x_t, alpha_t, sigma_t), std


def remaining(schedule: Schedule, t: Tensor, s: Tensor, eta: float = 1.0) -> Tensor:
    """The share of the noise at t that the reverse SDE of diffusion eta g has kept by s: 0 from alpha_t = 0 and to
    sigma_s = 0, 1 where eta = 0.

        e^(-eta^2 h) = (snr_t / snr_s)^(eta^2 / 2),    h the step in log(alpha / sigma)
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    return (alpha_t / alpha_s * sigma_s / sigma_t) ** eta**2


def weights_on_x_hat(schedule: Schedule, times: Tensor, t: Tensor, s: Tensor, eta: float) -> Tensor:
    """(n,): of the guesses at some times (n,) in a step of the reverse SDE of diffusion eta g:

        alpha_s (1 + eta^2) int e^((1 + eta^2) (lambda - lambda_s)) L_i(lambda) dlambda,    lambda = log(alpha / sigma)

    To s = 0 the flow, eta = 0, extrapolates x_hat; with noise x_hat is a martingale, and its past adds nothing.
    """
    if eta == 0:
        return OnXHat().weights(schedule, times, t, s)[0]
    if s == 0:
        return torch.zeros_like(times)
    clock, start, stop = (schedule.log_snr(c) / 2 for c in (times, t, s))
    return schedule(s)[0] * (1 + eta**2) * exponential_weights(clock, start, stop, 1 + eta**2)


def share(name: str, value: float, most: float = float("inf")) -> None:
    """Raises ValueError where a number is not between 0 and `most`."""
    if not 0 <= value <= most or value == float("inf"):
        bound = "0 or more" if most == float("inf") else f"from 0 to {most:g}"
        raise ValueError(f"{name} must be {bound}, not {value}")


def halfway(schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
    """The time in the middle of a step by log-SNR, which is finite at both."""
    return schedule.time((schedule.log_snr(t) + schedule.log_snr(s)) / 2)
