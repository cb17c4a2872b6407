"""Time densities: which times are trained on, as the time at each quantile u of (0, 1)."""

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from .noise import Noise
from .schedules import Schedule


class Density(abc.ABC):
    @abc.abstractmethod
    def __call__(self, schedule: Schedule, u: Tensor) -> Tensor:
        """Times (B,) in (0, 1], float64, of quantiles u (B,) in the open interval (0, 1)."""

    def draw(self, schedule: Schedule, noise: Noise, n: int) -> Tensor:
        """n times, one from each sample's stream."""
        return self(schedule, noise.uniform(torch.empty(n, dtype=torch.float64)))


@dataclass(frozen=True)
class Uniform(Density):
    """Every time alike, from `first` (so that sigma > 0) to 1."""

    first: float = 1e-4

    def __call__(self, schedule, u):
        return self.first + (1 - self.first) * u


@dataclass(frozen=True)
class LogNormal(Density):
    """log(sigma / alpha) ~ N(mean, std^2), for unit-variance data: the paper's -1.2 at std_data = 0.5 is -0.5 here.

    For data of another deviation add its logarithm to `mean`. Karras et al. 2022, https://arxiv.org/abs/2206.00364
    """

    mean: float = -0.5
    std: float = 1.2

    def __call__(self, schedule, u):
        return schedule.time(-2 * (self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True)
class LogitNormal(Density):
    """log(t / (1 - t)) ~ N(mean, std^2). Esser et al. 2024, https://arxiv.org/abs/2403.03206"""

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, schedule, u):
        return (self.mean + self.std * torch.special.ndtri(u)).sigmoid()


@dataclass(frozen=True)
class Discrete(Density):
    """The indices of a table of `count` levels, each alike: t = (i + 1) / count."""

    count: int = 1000

    def __call__(self, schedule, u):
        return ((u * self.count).floor() + 1) / self.count


@dataclass(frozen=True)
class Stratified(Density):
    """Another density at quantiles that fill the interval evenly: u_i = (1/2 + i / golden ratio) mod 1.

    i is the sample's place in the order of training, so any window of samples is spread alike and neither batch size
    nor workers matter: a batch has less luck in its noise levels, hence a steadier gradient. The purpose is that of
    Kingma et al. 2021, https://arxiv.org/abs/2107.00630; the sequence is Kronecker's.
    """

    density: Density = LogNormal()

    def __call__(self, schedule, u):
        return self.density(schedule, u)

    def draw(self, schedule, noise, n):
        u = (0.5 + noise.place.double() * 0.6180339887498949) % 1
        return self(schedule, u.clamp(2**-53, 1 - 2**-53))
