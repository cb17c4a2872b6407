"""Replacement: what is measured is put into each step."""

from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.grids import resampled
from ..core.schedules import Schedule, onto
from ..samplers.base import Sampler, State
from ..samplers.ddpm import DDPM
from .base import PosteriorSampler, steps_once
from .operators.base import told


@dataclass(frozen=True, eq=False)
class Replacement(PosteriorSampler):
    """After each step, the coordinates that y measures are drawn from what y says of them at that noise level.

        c = V^T x_s,    c_i <- N(alpha_s c_i(y), sigma_s^2),    c(y) = V^T A^+ y,    where s_i > 0

    At s = 0 they are c(y) itself: with a mask, kept entries are those of y to the bit. A noisy y is a sample at the noise level
    std_y / s_i already: above it, it brings a part of the noise of c_i, and below it c_i is left to the denoiser. What is
    not measured knows of y through the guess alone, so this is not exact; `RePaint` shrinks the bias.
    Song et al. 2020, section I.2, https://arxiv.org/abs/2011.13456; Meng et al. 2021, https://arxiv.org/abs/2108.01073
    """

    sampler: Sampler = field(default_factory=DDPM)
    wraps = True

    def __post_init__(self):
        super().__post_init__()
        steps_once(type(self), self.sampler)

    @property
    def evaluations(self):
        return self.sampler.evaluations

    def step(self, denoiser, x_t, t, s, memory, noise):
        x_s, memory = self.sampler.step(denoiser, x_t, t, s, memory, noise)
        spectrum, known = self.seen(x_s)
        alpha_s, sigma_s = denoiser.schedule(s)
        brought = alpha_s * torch.where(spectrum.s > 0, self.std_y / spectrum.s, 0)
        seen = (spectrum.s > 0) & (brought <= sigma_s)
        std, seen = told(x_s, (sigma_s**2 - brought**2).clamp(min=0).sqrt(), seen.double())
        (alpha_s,) = onto(x_s, alpha_s)
        drawn = alpha_s * known + std * spectrum.to(noise.draw(x_s)) if s > 0 else known
        return spectrum.back(torch.where(seen > 0, drawn, spectrum.to(x_s))), memory


@dataclass(frozen=True, eq=False)
class RePaint(PosteriorSampler):
    """Replacement that goes back: after `jump` steps it noises the sample again and repeats them, `repeats` times in all.

    So what is not measured comes to agree with what is, in the limit of many repeats and short steps. A grid that falls is
    walked as `grids.Resampled` would be, at `repeats` times the calls, down to the noise of y, from where on nothing is
    replaced; one that goes up already is walked as it is.
    Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865
    """

    jump: int = 10
    repeats: int = 10
    sampler: Sampler = field(default_factory=DDPM)
    wraps = True

    @classmethod
    def variants(cls, y, operator, std_y):
        return (cls(y, operator, std_y, jump=2, repeats=2),)

    def __post_init__(self):
        super().__post_init__()
        steps_once(type(self), self.sampler)

    @property
    def evaluations(self):
        return self.sampler.evaluations

    def walk(self, schedule: Schedule, grid: Tensor) -> Tensor:
        """The times that are walked; `evaluations.total` of them is the cost."""
        if (grid.diff() > 0).any():
            return grid
        alpha, sigma = schedule(grid)
        last = int((sigma >= alpha * self.std_y).sum())
        return torch.cat([resampled(grid[:last], self.jump, self.repeats), grid[last:]])

    def step(self, denoiser, x_t, t, s, memory, noise):
        inner = Replacement(self.y, self.operator, self.std_y, self.sampler)
        return inner.step(denoiser, x_t, t, s, memory, noise)

    def trajectory(self, denoiser, x_t, grid, noise) -> Generator[State, Tensor | None, None]:
        return super().trajectory(denoiser, x_t, self.walk(denoiser.schedule, grid), noise)
