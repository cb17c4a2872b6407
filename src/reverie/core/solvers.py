"""Solvers of ordinary differential equations dz/du = field(u, z), for rows that do not meet."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor], Tensor]
"""(u (B,), z (B, M)) -> dz/du (B, M)"""


class Solved(NamedTuple):
    z: Tensor
    """(B, M), at the last stop."""
    evaluations: Tensor
    """(B,) of the field, for each row."""
    rejected: Tensor
    """(B,) steps that were tried and taken back."""


class Solver(abc.ABC):
    @abc.abstractmethod
    def __call__(self, field: Field, z: Tensor, stops: Tensor) -> Solved:
        """From z (B, M) at the first of the stops, (K + 1,) or (K + 1, B), to the last; in the type of z."""


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method: k_i = field(u + c_i h, z + h sum_j a_ij k_j), z + h sum_i b_i k_i."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    lower: tuple[float, ...] = ()
    """b of the embedded method of the order below."""

    def stages(self, field: Field, u: Tensor, z: Tensor, h: Tensor) -> list[Tensor]:
        k: list[Tensor] = []
        for row in self.a:
            k.append(field(u + sum(row) * h, z + h[:, None] * weighted(row, k, z)))
        return k


def weighted(b: tuple[float, ...], k: list[Tensor], z: Tensor) -> Tensor:
    return sum((b_i * k_i for b_i, k_i in zip(b, k) if b_i), torch.zeros_like(z))


HEUN = Tableau(((), (1.0,)), (1 / 2, 1 / 2))
CLASSICAL = Tableau(((), (1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6))
DORMAND_PRINCE = Tableau(
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
)
"""Order 5, with 4 embedded. Dormand & Prince 1980, https://doi.org/10.1016/0771-050X(80)90013-3"""


class Fixed(Solver):
    """One Runge-Kutta step between neighbouring stops."""

    tableau: Tableau

    def __call__(self, field, z, stops):
        stops = stops.reshape(len(stops), -1).expand(-1, len(z))
        for u, v in zip(stops, stops[1:]):
            z = z + (v - u)[:, None] * weighted(self.tableau.b, self.tableau.stages(field, u, z, v - u), z)
        count = torch.zeros(len(z), dtype=torch.int64)
        return Solved(z, count + (len(stops) - 1) * len(self.tableau.b), count)


@dataclass(frozen=True)
class Heun(Fixed):
    """Order 2, two evaluations a step."""

    tableau = HEUN


@dataclass(frozen=True)
class RungeKutta4(Fixed):
    """Order 4, four evaluations a step."""

    tableau = CLASSICAL


@dataclass(frozen=True)
class Adaptive(Solver):
    """Dormand and Prince's pair, each row at steps of its own, so that none depends on its batch; u may only grow.

        error = rms(h sum_i (b_i - lower_i) k_i / (atol + rtol max(|z|, |z_next|))) <= 1,
        h becomes 0.9 h error^(-0.7 / 5) last^(0.4 / 5),    at least a fifth of it, at most five times

    with the error of the step before, `last` (a PI controller: Hairer & Wanner 1996, IV.2). Only the first stop and the
    last count. Raises ValueError after `most` steps.
    """

    rtol: float = 1e-6
    atol: float = 1e-6
    first: float = 0.01
    """The first step that is tried, as a share of the way."""
    most: int = 10_000

    def __call__(self, field, z, stops):
        stops = stops.reshape(len(stops), -1).expand(-1, len(z))
        u, end = stops[0].clone(), stops[-1]
        h, last = self.first * (end - u), torch.ones_like(u)
        tried = torch.zeros(len(z), dtype=torch.int64)
        taken = torch.zeros_like(tried)
        for _ in range(self.most):
            going = u < end
            if not going.any():
                return Solved(z, len(DORMAND_PRINCE.b) * tried, tried - taken)
            h = torch.minimum(h, end - u)
            k = DORMAND_PRINCE.stages(field, u, z, h)
            moved = z + h[:, None] * weighted(DORMAND_PRINCE.b, k, z)
            gap = h[:, None] * (weighted(DORMAND_PRINCE.b, k, z) - weighted(DORMAND_PRINCE.lower, k, z))
            error = (gap / (self.atol + self.rtol * torch.maximum(z.abs(), moved.abs()))).square().mean(1).sqrt()
            error = torch.where(error.isfinite(), error.clamp(min=1e-10), 1e10).to(u)
            good = going & (error <= 1)
            z = torch.where(good[:, None], moved, z)
            u = torch.where(good, torch.where(end - u <= h, end, u + h), u)
            factor = 0.9 * error ** (-0.7 / 5) * torch.where(good, last, 1) ** (0.4 / 5)
            h = h * factor.clamp(0.2, 5.0)
            last = torch.where(good, error, last)
            tried, taken = tried + going, taken + good
        raise ValueError(f"{self} does not arrive: take larger tolerances, or a fixed number of steps")
