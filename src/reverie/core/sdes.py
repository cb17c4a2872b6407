"""The forward process as a stochastic differential equation, and the whole family of those that undo it.

    forward    dx = f x dt + g dw,                                        f = alpha' / alpha
    backward   dx = [f x - (1 + eta^2) / 2 g^2 score] dt + eta g dw,      g^2 = (sigma^2)' - 2 f sigma^2

in time that runs from 1 to 0, dt < 0. Every eta(t) >= 0 has the marginals of the forward process: 0 is the
probability-flow ODE, 1 Anderson's reversal, and what eta adds to the ODE is Langevin dynamics at each noise level:

    f x - g^2 / 2 score = alpha' x_hat + sigma' eps_hat

A derivative ' in time is taken by autograd, in float64, of alpha, sigma and log-SNR as the schedule writes them; at t = 0,
at 1e-12, where roots are smooth. At t = 1 f and g are infinite where alpha = 0, and alpha' may be: that is refused. Begin
below, or step in differences of alpha, sigma and log-SNR, which are the integrals: g^2 dt = -sigma^2 d log_snr.
Song et al. 2020, https://arxiv.org/abs/2011.13456; Karras et al. 2022, https://arxiv.org/abs/2206.00364, appendix B
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .denoisers import Denoiser
from .schedules import Schedule, onto


class Rates(NamedTuple):
    """How fast a schedule moves: d alpha / dt and d sigma / dt, float64 and shaped like the time."""

    alpha: Tensor
    sigma: Tensor


def rates(schedule: Schedule, t: Tensor | float) -> Rates:
    """alpha', which is at most 0, and sigma'. Raises ValueError where one is infinite, as at t = 1 of Sigmoid."""
    found = Rates(_slope(schedule.alpha, t), _slope(schedule.sigma, t))
    if not all(rate.isfinite().all() for rate in found):
        raise ValueError(f"alpha or sigma of {schedule} has no finite slope at t = 1: begin at a smaller t")
    return found


def forward(schedule: Schedule, t: Tensor | float) -> tuple[Tensor, Tensor]:
    """(f, g) of dx = f x dt + g dw, float64 and shaped like t. With g^2 = -sigma^2 log_snr', nothing cancels.

    Raises ValueError where alpha_t = 0, to which no SDE of finite coefficients leads.
    """
    alpha_t, sigma_t = schedule(_inside(t))
    if (alpha_t == 0).any():
        raise ValueError(f"f and g are infinite at t = 1 of {schedule}, where alpha = 0: begin at a smaller t")
    f = _slope(schedule.alpha, t) / alpha_t
    return f, sigma_t * (-_slope(schedule.log_snr, t)).clamp(min=0).sqrt()


def score(denoiser: Denoiser, x_t: Tensor, t: Tensor) -> Tensor:
    """grad log p_t(x_t) = -eps_hat / sigma_t = (alpha_t x_hat - x_t) / sigma_t^2, shaped like x_t (Tweedie's formula).

    Regular where alpha_t = 0. Raises ValueError at t = 0, where only an oracle knows it.
    """
    alpha_t, sigma_t = denoiser.schedule(t)
    if (sigma_t == 0).any():
        raise ValueError("a guess says nothing of the score at t = 0, where nothing is left to guess: take a t above 0")
    (std,) = onto(x_t, sigma_t)
    return -denoiser(x_t, t).eps(x_t, alpha_t, sigma_t) / std


def velocity(denoiser: Denoiser, x_t: Tensor, t: Tensor) -> Tensor:
    """dx/dt of the probability-flow ODE, alpha' x_hat + sigma' eps_hat, shaped like x_t: regular where alpha_t = 0."""
    alpha_t, sigma_t = denoiser.schedule(t)
    if (sigma_t == 0).any():
        raise ValueError("the flow ends at t = 0, where nothing is left to guess: take a t above 0")
    estimate = denoiser(x_t, t)
    dalpha, dsigma = onto(x_t, *rates(denoiser.schedule, t))
    return dalpha * estimate.x_hat + dsigma * estimate.eps(x_t, alpha_t, sigma_t)


def backward(
    denoiser: Denoiser, x_t: Tensor, t: Tensor, eta: Tensor | float | Callable[[Tensor], Tensor] = 1.0
) -> tuple[Tensor, Tensor]:
    """(drift, diffusion) of dx = drift dt + diffusion dw, for dt < 0; x_t (B, *), the diffusion broadcasts against it.

        drift = alpha' x_hat + sigma' eps_hat + eta^2 g^2 / (2 sigma) eps_hat,    diffusion = eta g

    `eta` is a number, a tensor shaped like t, or a function of t. The denoiser is asked once. Raises ValueError at
    t = 0, and where alpha_t = 0 unless eta is 0.
    """
    alpha_t, sigma_t = denoiser.schedule(t)
    if (sigma_t == 0).any():
        raise ValueError("the SDE ends at t = 0, where nothing is left to guess: take a t above 0")
    eta = torch.as_tensor(eta(t) if callable(eta) else eta, dtype=torch.float64)
    g = forward(denoiser.schedule, t)[1] if (eta != 0).any() else torch.zeros_like(sigma_t)
    dalpha, dsigma = rates(denoiser.schedule, t)
    of_x, of_eps, diffusion = onto(x_t, dalpha, dsigma + (eta * g) ** 2 / (2 * sigma_t), eta * g)
    estimate = denoiser(x_t, t)
    return of_x * estimate.x_hat + of_eps * estimate.eps(x_t, alpha_t, sigma_t), diffusion


def langevin(denoiser: Denoiser, x_t: Tensor, t: Tensor, step: Tensor | float, z: Tensor) -> Tensor:
    """A step of Langevin dynamics at one noise level, which keeps p_t as the step goes to 0; z is unit noise.

        x + sigma^2 step score + sigma sqrt(2 step) z = x - sigma step eps_hat + sigma sqrt(2 step) z

    `step`, a number or shaped like t, is without a unit: it is the share of the noise that is drawn anew, stable below 2.
    Song & Ermon 2019, https://arxiv.org/abs/1907.05600
    """
    alpha_t, sigma_t = denoiser.schedule(t)
    step = torch.as_tensor(step, dtype=torch.float64)
    eps_hat = denoiser(x_t, t).eps(x_t, alpha_t, sigma_t)
    a, b = onto(x_t, sigma_t * step, sigma_t * (2 * step).sqrt())
    return x_t - a * eps_hat + b * z


def _inside(t: Tensor | float) -> Tensor:
    return torch.as_tensor(t, dtype=torch.float64, device="cpu").clamp(min=1e-12)


def _slope(of: Callable[[Tensor], Tensor], t: Tensor | float) -> Tensor:
    """The derivative of a function of time, entry by entry; of a constant, 0."""
    with torch.enable_grad():
        t = _inside(t).detach().clone().requires_grad_()
        value = of(t)
        if not value.requires_grad:
            return torch.zeros_like(t)
        return torch.autograd.grad(value.sum(), t)[0]
