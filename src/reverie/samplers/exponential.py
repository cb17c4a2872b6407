"""The coefficients of exponential integrators: integrals of polynomials against a density, in float64 on the CPU.

With lambda = log(alpha / sigma), half of log-SNR, the flow between t and s is, on x_hat and on eps,

    x_s = sigma_s / sigma_t x_t + alpha_s int e^(lambda - lambda_s) x_hat dlambda
    x_s = alpha_s / alpha_t x_t - sigma_s int e^(lambda_s - lambda) eps dlambda

Quadrature instead of closed forms: those divide differences of exponentials by powers of h and cancel where h is small.
"""

from collections.abc import Callable
from math import factorial

import numpy as np
import torch
from torch import Tensor

_POINTS, _SHARES = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(48))
POINTS, SHARES = (_POINTS + 1) / 2, _SHARES / 2
"""Gauss's rule on [0, 1], exact for e^(h tau) to rounding up to |h| = 80."""


def phi(k: int, h: Tensor) -> Tensor:
    """phi_k(h) = int_0^1 e^((1 - tau) h) tau^(k - 1) / (k - 1)! dtau, shaped like h; phi_0 = e^h, phi_k(0) = 1 / k!.

    With lambda_s = lambda_t + h: int e^(lambda - lambda_s) (lambda - lambda_t)^k / k! dlambda = h^(k + 1) phi_(k + 1)(-h).
    Hochbruck & Ostermann 2010, https://doi.org/10.1017/S0962492910000048
    """
    if k == 0:
        return h.exp()
    return (((1 - POINTS) * h.unsqueeze(-1)).exp() * POINTS ** (k - 1) / factorial(k - 1)) @ SHARES


def lagrange(nodes: Tensor, at: Tensor) -> Tensor:
    """(n, *): the polynomials that are 1 at one of the nodes (n,) and 0 at the others, at some places (*)."""
    i, j = nodes.reshape(-1, 1), nodes.reshape(1, -1)
    others = ~torch.eye(len(nodes), dtype=torch.bool)
    factors = (at.unsqueeze(-1).unsqueeze(-1) - j) / torch.where(others, i - j, 1)
    return torch.where(others, factors, 1).prod(-1).movedim(-1, 0)


def integrals(nodes: Tensor, a: Tensor, b: Tensor, density: Callable[[Tensor], Tensor]) -> Tensor:
    """(n,): int_a^b L_i(c) density(c) dc of the Lagrange polynomials of some nodes (n,); a, b `()`."""
    c = a + (b - a) * POINTS
    return (b - a) * (lagrange(nodes, c) * density(c)) @ SHARES


def exponential_weights(nodes: Tensor, a: Tensor, b: Tensor, rate: float = 1.0) -> Tensor:
    """(n,): int_a^b e^(rate (lambda - b)) L_i(lambda) dlambda, the weights of an Adams method on x_hat (rate 1) or,
    with the sign turned, on eps (rate -1); a solver of the SDE with rate 1 + tau^2. They sum to |h| phi_1(-rate h).
    """
    return integrals(nodes, a, b, lambda c: (rate * (c - b)).exp())
