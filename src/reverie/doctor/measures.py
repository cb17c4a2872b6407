"""Denoising errors of a network, and what data alone would allow, in closed form."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..core.parameterizations import NoiseInput, Parameterization
from ..core.schedules import Schedule, onto

LARGEST_COVARIANCE = 1024
"""Entries of a sample up to which the covariance is taken whole."""


def guess(
    network: nn.Module, parameterization: Parameterization, noise_input: NoiseInput, schedule: Schedule,
    x_t: Tensor, t: Tensor, cond: Mapping[str, Tensor],
) -> Tensor:  # fmt: skip
    """x_hat (B, *) of x_t (B, *) at times t (B,) inside (0, 1): `Preconditioned` without its refusals at the ends."""
    c_in, c_skip, c_out = onto(x_t, *parameterization(*schedule(t)))
    c_noise = noise_input(schedule, t).to(x_t.device, torch.float32).expand(len(x_t))
    return c_skip * x_t + c_out * network(c_in * x_t, c_noise, **cond)


def error(
    network: nn.Module, parameterization: Parameterization, noise_input: NoiseInput, schedule: Schedule,
    x: Tensor, eps: Tensor, t: Tensor, cond: Mapping[str, Tensor],
) -> Tensor:  # fmt: skip
    """Mean squared error (B,) of the guess of x (B, *) noised by eps to the one time t, `()`."""
    t = t.expand(len(x))
    alpha_t, sigma_t = onto(x, *schedule(t))
    with torch.no_grad():
        x_hat = guess(network, parameterization, noise_input, schedule, alpha_t * x + sigma_t * eps, t, cond)
    return (x_hat - x).square().flatten(1).mean(1)


def spectrum(z: Tensor) -> Tensor:
    """Variances (D,), float64, of data z (N, C, *axes) along uncorrelated directions: those of the covariance where there
    are samples enough to know it, else those of the cosine basis, in which what is smooth is nearly uncorrelated.
    """
    x = z.double() - z.double().mean(0)
    d = x[0].numel()
    if d <= LARGEST_COVARIANCE and len(x) >= 3 * d:
        flat = x.flatten(1)
        return torch.linalg.eigvalsh(flat.T @ flat / (len(x) - 1)).clamp(min=0)
    for axis, n in enumerate(x.shape[2:], start=2):
        x = torch.tensordot(x, cosines(n), dims=([axis], [1])).movedim(-1, axis)
    return x.flatten(1).var(0)


def cosines(n: int) -> Tensor:
    """The orthonormal DCT-II (n, n), a row a frequency."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    rows = torch.cos(torch.pi * (i + 0.5) * k / n) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows


def linear_error(variances: Tensor, alpha: Tensor, sigma: Tensor) -> float:
    """Mean squared error per entry of the best linear guess of data with these variances (D,):

    mean_i v_i sigma^2 / (alpha^2 v_i + sigma^2)        Wiener 1949
    """
    return (variances * sigma**2 / (alpha**2 * variances + sigma**2)).mean().item()


def geometric(ratios: Sequence[float]) -> float:
    """Their geometric mean; inf where one is not finite."""
    if not all(math.isfinite(r) for r in ratios):
        return math.inf
    return math.exp(sum(math.log(max(r, 1e-30)) for r in ratios) / len(ratios))
