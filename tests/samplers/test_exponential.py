"""The coefficients of exponential integrators, against closed forms in many digits."""

import math

import mpmath
import pytest
import torch

from reverie.samplers.exponential import exponential_weights, integrals, lagrange, phi


def exact_phi(k, h):
    """By its recursion phi_k = (phi_(k - 1) - 1 / (k - 1)!) / h in 150 digits, where nothing cancels."""
    with mpmath.workdps(150):
        h, value = mpmath.mpf(h), mpmath.exp(mpmath.mpf(h))
        for i in range(k):
            value = (value - 1 / mpmath.factorial(i)) / h
        return float(value)


@pytest.mark.parametrize("k", [0, 1, 2, 3, 4, 5])
def test_phi_has_all_digits_for_the_smallest_and_the_longest_steps(k):
    h = torch.tensor([-60.0, -5.0, -1.0, -1e-3, -1e-9, 1e-12, 1e-4, 0.5, 3.0, 40.0], dtype=torch.float64)
    exact = torch.tensor([exact_phi(k, one) for one in h.tolist()], dtype=torch.float64)
    torch.testing.assert_close(phi(k, h), exact, rtol=1e-12, atol=0)
    assert phi(k, torch.zeros((), dtype=torch.float64)).item() == pytest.approx(1 / mpmath.factorial(k))


def test_a_polynomial_is_its_values_times_lagranges():
    nodes, at = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    cubic = lambda c: 2 - c + 3 * c**2
    torch.testing.assert_close(torch.einsum("n,nab->ab", cubic(nodes), lagrange(nodes, at)), cubic(at))
    assert lagrange(nodes[:1], at).equal(torch.ones(1, 4, 5, dtype=torch.float64))


def test_on_even_steps_the_weights_are_those_of_adams_and_bashforth():
    nodes, one = torch.arange(0.0, -4.0, -1, dtype=torch.float64), torch.ones((), dtype=torch.float64)
    published = torch.tensor([55.0, -59.0, 37.0, -9.0], dtype=torch.float64) / 24
    torch.testing.assert_close(integrals(nodes, 0 * one, one, torch.ones_like), published)


@pytest.mark.parametrize("rate", [1.0, -1.0, 2.0])
def test_exponential_weights_are_phi_functions(rate):
    """sum_i (c_i - a)^k w_i = k! h^(k + 1) phi_(k + 1)(-rate h)."""
    a, b = torch.tensor([-0.4, 0.9], dtype=torch.float64)
    nodes = torch.tensor([-0.4, -0.7, -1.9, -2.0], dtype=torch.float64)
    w = exponential_weights(nodes, a, b, rate)
    for k in range(4):
        moment = math.factorial(k) * (b - a) ** (k + 1) * phi(k + 1, -rate * (b - a))
        torch.testing.assert_close(((nodes - a) ** k * w).sum(), moment)
