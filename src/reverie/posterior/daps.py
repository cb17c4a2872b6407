"""Decoupled annealing."""

from dataclasses import dataclass, field

import torch

from ..core.schedules import onto
from ..samplers.base import Cost, Sampler
from ..samplers.ddim import DDIM
from ..samplers.renewal import share
from .base import PosteriorSampler, spread, steps_once
from .operators.base import told


@dataclass(frozen=True, eq=False)
class DAPS(PosteriorSampler):
    """Each level begins anew: down to clean data, to y, and up again to the next level; errors of one are not carried on.

        x_0 = where the flow leads from x_t,    x ~ N(x_0, r_t^2 I) N(y; A x, std_y^2),    x_s = alpha_s x + sigma_s z

    The flow is followed by `steps` of `sampler`, even in time, and x is drawn exactly, in the coordinates in which A is
    diagonal, where the paper runs Langevin dynamics. r_t^2 is the variance of x given x_t for data of deviation
    `std_data`. Zhang et al. 2024, https://arxiv.org/abs/2407.01521
    """

    steps: int = 5
    std_data: float = 1.0
    sampler: Sampler = field(default_factory=DDIM)
    wraps = True

    @classmethod
    def variants(cls, y, operator, std_y):
        return (cls(y, operator, std_y, steps=2),)

    def __post_init__(self):
        super().__post_init__()
        steps_once(type(self), self.sampler)
        share("std_data", self.std_data)
        if self.steps < 1:
            raise ValueError(f"the flow takes one step or more, not {self.steps}")

    @property
    def evaluations(self):
        return Cost(self.steps)

    def step(self, denoiser, x_t, t, s, memory, noise):
        x, times = x_t, t * (1 - torch.arange(self.steps + 1, dtype=torch.float64) / self.steps)
        for u, v in zip(times, times[1:]):
            x, _ = self.sampler.step(denoiser, x, u, v, None, noise)
        spectrum, known = self.seen(x)
        r_2, s_2 = told(x, spread(denoiser.schedule, t, self.std_data), spectrum.s**2)
        v = r_2 * s_2 + self.std_y**2
        nearer = torch.where(v > 0, r_2 * s_2 / v, 0)
        std = (r_2 * (1 - nearer)).sqrt()
        c = spectrum.to(x)
        c = c + nearer * (known - c) + std * spectrum.to(noise.draw(x))
        a, sigma = onto(x, *denoiser.schedule(s))
        return a * spectrum.back(c) + sigma * noise.draw(x, t, s), memory
