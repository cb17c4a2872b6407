"""Step sizes that each sample chooses for itself."""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Sampler, Tally
from .forms import require
from .history import Guess, guess
from .runge_kutta import BOGACKI_SHAMPINE, MIDPOINT, angle, runge_kutta, time

PAIRS = {2: MIDPOINT, 3: BOGACKI_SHAMPINE}
SHORTEST = 1e-6
"""An angle: a step so short is accepted whatever its error."""


class Memory(NamedTuple):
    length: Tensor
    """(B,) float64: of the next step that each sample would try, an angle."""
    last: Tensor
    """(B,) float64: the error of its last accepted step, in tolerances."""
    tally: Tally


@dataclass(frozen=True)
class Adaptive(Sampler):
    """Runge-Kutta pairs whose step each sample lengthens or shortens by its own error, within each step of the grid.

        e = rms(|x - x_low| / (atol + rtol max(|x_t|, |x|))),    accepted where e <= 1
        h becomes h clamp(0.9 e^(-0.7 / p) e_last^(0.4 / p), 0.2, 5),    p = order      (PI controller)

    The steps are angles atan(sigma / alpha), so that both ends are regular. Pairs: the midpoint rule with DDIM's step
    (order 2), Bogacki and Shampine's with the midpoint rule (3). Steps end on the times of the grid, their length goes on
    over them; a grid of one step leaves all to the sample. The whole batch is asked while one sample is on its way:
    `State.tally` counts what each would have needed alone, a rejected step keeping its first guess.
    Gustafsson 1991, https://doi.org/10.1145/210232.210242; Jolicoeur-Martineau et al. 2021, https://arxiv.org/abs/2105.14080
    """

    rtol: float = 1e-3
    atol: float = 1e-3
    pair: int = 3
    first: float = 0.05
    """The length of the first step tried, an angle; the whole way is pi / 2."""

    def __post_init__(self):
        require(pair=(self.pair, PAIRS))
        if not (self.rtol >= 0 and self.atol > 0 and 0 < self.first < inf):
            raise ValueError("take rtol of 0 or more, atol and first above 0")

    @classmethod
    def variants(cls):
        return cls(), cls(1e-2, 1e-2, pair=2)

    @property
    def order(self):
        return self.pair

    @property
    def evaluations(self):
        return None

    def tally(self, memory):
        return memory and memory.tally

    def step(self, denoiser, x_t, t, s, memory, noise):
        tableau, schedule, B = PAIRS[self.pair], denoiser.schedule, len(x_t)
        length, last, (accepted, rejected, evaluations) = memory or self._begun(B)
        x, now, end, known, first = (
            x_t,
            t.double().expand(B),
            angle(schedule, s),
            torch.zeros(B, dtype=torch.bool),
            None,
        )
        while (going := now > s).any():
            start = angle(schedule, now)
            final = start - length <= end
            to = torch.where(final, s, time(schedule, start - torch.where(final, 0.0, length)))
            # a sample that has arrived is asked on the way, for at sigma = 0 there is nothing to ask
            x_at, t_at, to_at = rows(going, x, x_t), torch.where(going, now, t), torch.where(going, to, (t + s) / 2)
            fresh = going & ~known
            if first is None or fresh.any():
                asked = guess(denoiser, x_at, t_at)
                first = (
                    asked if first is None else Guess(t_at, *(rows(fresh, *two) for two in zip(asked[1:], first[1:])))
                )
            x_to, error, _ = runge_kutta(tableau, denoiser, x_at, t_at, to_at, first)
            e = self._size(error, x_at, x_to)
            good = going & ((e <= 1) | (length <= SHORTEST) | e.isnan())
            tried = torch.where(final, start - end, length)
            change = 0.9 * torch.where(good, e**-0.7 * last**0.4, 1 / e) ** (1 / self.pair)
            proposed = tried * change.nan_to_num(1.0).clamp(0.2, 5.0)
            length = torch.where(good & final, torch.maximum(length, proposed), torch.where(going, proposed, length))
            length, last = length.clamp(min=SHORTEST), torch.where(good, e.nan_to_num(1.0), last)
            accepted, rejected = accepted + good, rejected + (going & ~good)
            evaluations = evaluations + going * (len(tableau.c) - 1) + fresh
            x, now, known = rows(good, x_to, x), torch.where(good, to, now), going & ~good
        return x, Memory(length, last, Tally(accepted, rejected, evaluations))

    def _begun(self, B: int) -> Memory:
        none, one = torch.zeros(B, dtype=torch.int64), torch.ones(B, dtype=torch.float64)
        return Memory(self.first * one, one, Tally(none, none, none))

    def _size(self, error: Tensor, x_t: Tensor, x_s: Tensor) -> Tensor:
        """(B,) float64, at least 1e-10: in tolerances."""
        allowed = self.atol + self.rtol * torch.maximum(x_t.abs(), x_s.abs())
        return (error / allowed).flatten(1).double().square().mean(1).sqrt().cpu().clamp(min=1e-10)


def rows(which: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """(B, *): some rows of one, the others of the other; which (B,)."""
    return torch.where(which.to(one.device).reshape(-1, *[1] * (one.ndim - 1)), one, other)
