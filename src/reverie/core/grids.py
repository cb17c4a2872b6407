"""Grids: the times at which sampling stops on its way, in float64, from t = 1 to t = 0 unless told otherwise."""

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .schedules import Schedule


class Grid(abc.ABC):
    """Raises ValueError when called on a schedule where two of its times are one."""

    steps: int
    upward: ClassVar[bool] = False
    """Whether it goes up on purpose."""

    @abc.abstractmethod
    def times(self, schedule: Schedule) -> Tensor: ...

    def __call__(self, schedule: Schedule) -> Tensor:
        """float64 (steps + 1,), falling unless `upward`."""
        if self.steps < 1:
            raise ValueError(f"{self} has no step: take one or more")
        times = self.times(schedule)
        if not self.upward and not (times.diff() < 0).all():
            raise ValueError(f"{self} does not decrease on {schedule}: take fewer steps")
        return times


@dataclass(frozen=True)
class Uniform(Grid):
    """Even in time."""

    steps: int = 50
    first: float = 1.0
    stop: float = 0.0

    def times(self, schedule):
        return torch.linspace(self.first, self.stop, self.steps + 1, dtype=torch.float64)


@dataclass(frozen=True)
class LogSNR(Grid):
    """Even in log-SNR between two limits, then one step to the data.

    Lu et al. 2022, https://arxiv.org/abs/2206.00927
    """

    steps: int = 50
    low: float = -10.0
    high: float = 10.0

    def times(self, schedule):
        low = schedule.log_snr(1.0).clamp(min=self.low).item()
        return _between_ends(schedule.time(torch.linspace(low, self.high, self.steps, dtype=torch.float64)))


@dataclass(frozen=True)
class Karras(Grid):
    """Even in (sigma / alpha)^(1 / rho), then one step to the data.

    Karras et al. 2022, https://arxiv.org/abs/2206.00364
    """

    steps: int = 50
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def times(self, schedule):
        top = schedule.log_snr(1.0).div(-2).exp().clamp(max=self.sigma_max).item()
        ends = top ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        sigma = torch.linspace(*ends, self.steps, dtype=torch.float64) ** self.rho
        return _between_ends(schedule.time(-2 * sigma.log()))


@dataclass(frozen=True)
class Trailing(Grid):
    """Even in time, rounded to the indices of a table of `count` levels. Lin et al. 2023, https://arxiv.org/abs/2305.08891

    `stop` = 1 / count ends at the noise of index 0, as pipelines with `set_alpha_to_one=False` do.
    """

    steps: int = 50
    count: int = 1000
    stop: float = 0.0

    def times(self, schedule):
        index = torch.linspace(self.count, 0, self.steps + 1, dtype=torch.float64).round()
        return torch.cat([index[:-1] / self.count, index.new_tensor([self.stop])])


@dataclass(frozen=True)
class Leading(Grid):
    """Every (count // steps)-th index of a table, from `offset` up: it starts below t = 1, as those models were shipped.

    Ho et al. 2020, https://arxiv.org/abs/2006.11239, and its descendants; `offset` is their `steps_offset`.
    """

    steps: int = 50
    count: int = 1000
    offset: int = 0
    stop: float = 0.0

    def times(self, schedule):
        index = torch.arange(self.steps - 1, -1, -1, dtype=torch.float64) * (self.count // self.steps) + self.offset
        if index[0] > self.count - 1:
            raise ValueError(f"{self} begins past the last index: take a smaller offset or another number of steps")
        return torch.cat([(index + 1) / self.count, index.new_tensor([self.stop])])


@dataclass(frozen=True)
class Linspace(Grid):
    """Even between the last index of a table and the first, both stood on, then one step to `stop`."""

    steps: int = 50
    count: int = 1000
    stop: float = 0.0

    def times(self, schedule):
        index = torch.linspace(self.count - 1, 0, self.steps, dtype=torch.float64).round()
        return torch.cat([(index + 1) / self.count, index.new_tensor([self.stop])])


@dataclass(frozen=True)
class Resampled(Grid):
    """Goes down `jump` steps of another grid, then up and down again, `repeats` times in all, and on.

    The grid of RePaint. Lugmayr et al. 2022, https://arxiv.org/abs/2201.09865
    """

    upward = True

    grid: Grid = Uniform()
    jump: int = 10
    repeats: int = 10

    @property
    def steps(self) -> int:
        return self.grid.steps

    def times(self, schedule):
        times = self.grid(schedule)
        walk = [times[:1]]
        for top in range(0, len(times) - 1, self.jump):
            down = times[top + 1 : top + 1 + self.jump]
            walk += [down] + [times[top : top + 1], down] * (self.repeats - 1)
        return torch.cat(walk)


def _between_ends(times: Tensor) -> Tensor:
    return torch.cat([times.new_ones(1), times[1:], times.new_zeros(1)])
