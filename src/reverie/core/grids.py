"""Grids: the times at which sampling stops on its way, in float64, from t = 1 to t = 0 unless told otherwise."""

import abc
import math
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

    It begins at t = 1, or with `whole` off at sigma_max: for what begins with more than noise.
    Karras et al. 2022, https://arxiv.org/abs/2206.00364
    """

    steps: int = 50
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    whole: bool = True

    def times(self, schedule):
        top = schedule.log_snr(1.0).div(-2).exp().clamp(max=self.sigma_max).item()
        ends = top ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        sigma = torch.linspace(*ends, self.steps, dtype=torch.float64) ** self.rho
        times = schedule.time(-2 * sigma.log())
        return _between_ends(times) if self.whole else torch.cat([times, times.new_zeros(1)])


@dataclass(frozen=True)
class Trailing(Grid):
    """Even in time, rounded to the indices of a table of `count` levels. Lin et al. 2023, https://arxiv.org/abs/2305.08891

    `stop` = 1 / count ends at the noise of index 0, as pipelines with `set_alpha_to_one=False` do.
    """

    steps: int = 50
    count: int = 1000
    stop: float = 0.0

    def times(self, schedule):
        stride = self.count - (self.count - self.count / self.steps)  # as numpy's arange rounds it: it decides halves
        index = (self.count - torch.arange(self.steps, dtype=torch.float64) * stride).round()
        return torch.cat([index / self.count, index.new_tensor([self.stop])])


@dataclass(frozen=True)
class FlowShift(Grid):
    """Even from t = 1 to the least of `count` levels, then all shifted towards noise: u -> f u / (1 + (f - 1) u), and then 0.

    The least level was shifted once before. Where sigma = t it is where flow models of large pictures stop: Esser et al.
    2024, https://arxiv.org/abs/2403.03206, as diffusers' `FlowMatchEulerDiscreteScheduler` does it.
    """

    steps: int = 28
    factor: float = 3.0
    count: int = 1000

    def times(self, schedule):
        shifted = lambda u: self.factor * u / (1 + (self.factor - 1) * u)
        u = torch.linspace(1, shifted(1 / self.count), self.steps, dtype=torch.float64)
        return torch.cat([shifted(u), u.new_zeros(1)])


@dataclass(frozen=True)
class Shifted(Grid):
    """Even in t from 1 to 0, all shifted towards noise: u -> f u / (1 + (f - 1) u).

    Where sigma = t, f is by how much larger pictures need more noise: Esser et al. 2024, https://arxiv.org/abs/2403.03206
    """

    steps: int = 28
    factor: float = 3.0

    def times(self, schedule):
        u = torch.linspace(1, 0, self.steps + 1, dtype=torch.float64)
        return self.factor * u / (1 + (self.factor - 1) * u)


@dataclass(frozen=True)
class Leading(Grid):
    """Every (count // steps)-th index of a table, from `offset` up: it starts below t = 1, as those models were shipped.

    Ho et al. 2020, https://arxiv.org/abs/2006.11239, and its descendants; `offset` is their `steps_offset`. `below` of the
    indices, the lowest of so many more steps, are not stood on.
    """

    steps: int = 50
    count: int = 1000
    offset: int = 0
    stop: float = 0.0
    below: int = 0

    def times(self, schedule):
        total = self.steps + self.below
        index = torch.arange(total - 1, self.below - 1, -1, dtype=torch.float64) * (self.count // total) + self.offset
        if index[0] > self.count - 1:
            raise ValueError(f"{self} begins past the last index: take a smaller offset or another number of steps")
        return torch.cat([(index + 1) / self.count, index.new_tensor([self.stop])])


@dataclass(frozen=True)
class Linspace(Grid):
    """Even between the last index of a table and the first, both stood on, then one step to `stop`.

    A single step stands on the first index, as in the libraries that this grid comes from: take two or more. `below` of
    the indices, the lowest of so many more steps, are not stood on; with `rounds` off, places between indices are.
    """

    steps: int = 50
    count: int = 1000
    stop: float = 0.0
    below: int = 0
    rounds: bool = True

    def times(self, schedule):
        total = self.steps + self.below
        stride = (self.count - 1) / max(total - 1, 1)  # multiplied from below, as numpy's linspace: it decides halves
        index = torch.arange(total - 1, self.below - 1, -1, dtype=torch.float64) * stride
        index = index.round() if self.rounds else index
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
        return resampled(self.grid(schedule), self.jump, self.repeats)


@dataclass(frozen=True)
class Restart(Grid):
    """Goes down another grid and, at the low end of an interval, up to its high end and down again, `repeats` times.

    Each interval is (steps, repeats, low, high) in sigma / alpha, its steps even in (sigma / alpha)^(1 / 7), its low end
    moved to the nearest time of the grid. Any sampler may go down; on the way up the trajectory draws the noise, whose
    forgetting makes up for the errors made above. The paper's N_restart counts the ends, and is one more than `steps`.
    Xu et al. 2023, https://arxiv.org/abs/2306.14878
    """

    upward = True

    grid: Grid = Karras(18)
    intervals: tuple[tuple[int, int, float, float], ...] = ((5, 2, 0.06, 0.3),)

    def __post_init__(self):
        for steps, repeats, low, high in self.intervals:
            if not (steps >= 1 and repeats >= 1 and 0 < low < high):
                raise ValueError(
                    f"a restart is (steps, repeats, low, high), one step and repeat or more and 0 < low < high, not "
                    f"{(steps, repeats, low, high)}"
                )

    @property
    def steps(self) -> int:
        return self.grid.steps

    def times(self, schedule):
        times = self.grid(schedule)
        after: dict[int, list[Tensor]] = {}
        for steps, repeats, low, high in self.intervals:
            inner = schedule.log_snr(times[1:-1])
            if not len(inner):
                raise ValueError(f"{self.grid} has no time between its ends to restart at: take more steps")
            at = 1 + int((inner + 2 * math.log(low)).abs().argmin())
            bottom = (schedule.log_snr(times[at]) / -14).exp().item()
            ratio = torch.linspace(high ** (1 / 7), bottom, steps + 1, dtype=torch.float64)
            down = torch.cat([schedule.time(-14 * ratio[:-1].log()), times[at : at + 1]])
            if not (down.diff() < 0).all():
                raise ValueError(f"{schedule} has no noise of {high} above {self.grid} at {low}: take another interval")
            after[at] = after.get(at, []) + [down] * repeats
        return torch.cat([part for i, t in enumerate(times) for part in (t[None], *after.get(i, []))])


def _between_ends(times: Tensor) -> Tensor:
    return torch.cat([times.new_ones(1), times[1:], times.new_zeros(1)])


def resampled(times: Tensor, jump: int, repeats: int) -> Tensor:
    """Times that fall, walked `jump` steps down, then up and down again, `repeats` times in all, and on."""
    walk = [times[:1]]
    for top in range(0, len(times) - 1, jump):
        down = times[top + 1 : top + 1 + jump]
        walk += [down] + [times[top : top + 1], down] * (repeats - 1)
    return torch.cat(walk)
