"""The kernel distance against its definition, and its error against repetition."""

import pytest
import torch

from reverie.metrics import Population
from reverie.metrics.kernel import Kernel, mmd2


def normal(n, D, seed):
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(x, y):
    def k(a, b):
        return ((a @ b).item() / len(a) + 1) ** 3

    def mean(pairs):
        values = [k(a, b) for a, b in pairs]
        return sum(values) / len(values)

    def others(z):
        return mean([(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])

    return others(x) + others(y) - 2 * mean([(a, b) for a in x for b in y])


@pytest.mark.parametrize("chunk", [3, 100])
def test_it_is_the_double_loop_of_its_definition(chunk):
    x, y = normal(11, 4, 0), normal(8, 4, 1) + 0.5
    assert mmd2(x, y, chunk) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_it_is_unbiased_and_may_be_negative():
    draws = torch.tensor([mmd2(normal(30, 5, 2 * s), normal(20, 5, 2 * s + 1)) for s in range(400)])
    assert abs(draws.mean()) < 3 * draws.std() / 20
    assert (draws < 0).any() and (draws > 0).any()


def test_it_has_the_exact_expectation_of_points_on_a_line():
    """For D = 1, x = a and y = b surely: k(a, a) + k(b, b) - 2 k(a, b)."""
    a, b = 0.7, -1.3
    exact = (a * a + 1) ** 3 + (b * b + 1) ** 3 - 2 * (a * b + 1) ** 3
    assert mmd2(
        torch.full((5, 1), a, dtype=torch.float64), torch.full((7, 1), b, dtype=torch.float64)
    ) == pytest.approx(exact, rel=1e-12)


def test_the_standard_error_is_the_spread_over_repetitions():
    runs = [
        Kernel(seed=s).measure(
            Population(features=normal(200, 4, 2 * s) + 0.7), Population(features=normal(200, 4, 2 * s + 1))
        )
        for s in range(100)
    ]
    spread = torch.tensor([run["kernel"] for run in runs]).std().item()
    told = torch.tensor([run["kernel_error"] for run in runs]).mean().item()
    assert told == pytest.approx(spread, rel=0.25)


def test_equal_seeds_give_equal_errors_and_the_value_needs_none():
    x, y = Population(features=normal(50, 4, 0)), Population(features=normal(40, 4, 1))
    assert Kernel(seed=1).measure(x, y) == Kernel(seed=1).measure(x, y)
    one, other = Kernel(seed=1).measure(x, y), Kernel(seed=2).measure(x, y)
    assert one["kernel"] == other["kernel"] and one["kernel_error"] != other["kernel_error"]


def test_two_samples_a_side_are_measured_without_an_error():
    figures = Kernel().measure(Population(features=normal(2, 4, 0)), Population(features=normal(3, 4, 1)))
    assert set(figures) == {"kernel"}
