"""What a network outputs, and how it is told the noise.

x_hat = c_skip x_t + c_out F(c_in x_t, c_noise)          Karras et al. 2022, https://arxiv.org/abs/2206.00364
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .schedules import Schedule, onto


class Coefficients(NamedTuple):
    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor


class Parameterization(abc.ABC):
    """Two ways to say the same: the coefficients that make an output a guess, and the target that the output learns."""

    @abc.abstractmethod
    def __call__(self, alpha: Tensor, sigma: Tensor) -> Coefficients:
        """Of the noise level, float64; c_skip and c_out are infinite where the output says nothing of x."""

    @abc.abstractmethod
    def target(self, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of the target a x + b eps."""


@dataclass(frozen=True)
class Clean(Parameterization):
    """F predicts x."""

    def __call__(self, alpha, sigma):
        return Coefficients((alpha**2 + sigma**2).rsqrt(), 0 * alpha, 1 + 0 * alpha)

    def target(self, alpha, sigma):
        return 1 + 0 * alpha, 0 * alpha


@dataclass(frozen=True)
class Noise(Parameterization):
    """F predicts eps, which says nothing of x where alpha = 0. Ho et al. 2020, https://arxiv.org/abs/2006.11239"""

    def __call__(self, alpha, sigma):
        return Coefficients((alpha**2 + sigma**2).rsqrt(), 1 / alpha, -sigma / alpha)

    def target(self, alpha, sigma):
        return 0 * alpha, 1 + 0 * alpha


@dataclass(frozen=True)
class Velocity(Parameterization):
    """F predicts alpha eps - sigma x. Salimans & Ho 2022, https://arxiv.org/abs/2202.00512"""

    def __call__(self, alpha, sigma):
        square = alpha**2 + sigma**2
        return Coefficients(square.rsqrt(), alpha / square, -sigma / square)

    def target(self, alpha, sigma):
        return -sigma, alpha


@dataclass(frozen=True)
class Flow(Parameterization):
    """F predicts eps - x. Lipman et al. 2022, https://arxiv.org/abs/2210.02747"""

    def __call__(self, alpha, sigma):
        return Coefficients(1 + 0 * alpha, 1 / (alpha + sigma), -sigma / (alpha + sigma))

    def target(self, alpha, sigma):
        return -1 + 0 * alpha, 1 + 0 * alpha


@dataclass(frozen=True)
class Score(Parameterization):
    """F predicts grad log p(x_t) = -eps / sigma, which says nothing of x where alpha = 0.

    Song & Ermon 2019, https://arxiv.org/abs/1907.05600
    """

    def __call__(self, alpha, sigma):
        return Coefficients((alpha**2 + sigma**2).rsqrt(), 1 / alpha, sigma**2 / alpha)

    def target(self, alpha, sigma):
        return 0 * alpha, -1 / sigma


@dataclass(frozen=True)
class Karras(Parameterization):
    """F predicts the unit-variance mix of x and eps that makes its errors matter least, for data of that deviation."""

    std_data: float = 1.0

    def __call__(self, alpha, sigma):
        std_t = ((alpha * self.std_data) ** 2 + sigma**2).sqrt()
        return Coefficients(1 / std_t, alpha * self.std_data**2 / std_t**2, sigma * self.std_data / std_t)

    def target(self, alpha, sigma):
        std_t = ((alpha * self.std_data) ** 2 + sigma**2).sqrt()
        return sigma / (self.std_data * std_t), -alpha * self.std_data / std_t


def convert(
    output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor, source: Parameterization, target: Parameterization
) -> Tensor:
    """What `target` would output where `source` outputs this: exact wherever the source determines it.

        x_t = alpha x + sigma eps,  F = a x + b eps   =>   x = (b x_t - sigma F) / d,  eps = (alpha F - a x_t) / d

    with d = alpha b - sigma a. output and x_t (B, *); alpha and sigma float64 of the shape of a time. At the ends, where
    d may be 0, what is asked for is still known where it is a multiple of F. Raises ValueError where it is not known:
    noise and score say nothing of x where alpha = 0, a clean guess says nothing of the noise where sigma = 0.
    """
    (a, b), (to_x, to_eps) = source.target(alpha, sigma), target.target(alpha, sigma)
    d, across = alpha * b - sigma * a, to_x * b - to_eps * a
    of_x_t = torch.where(across == 0, 0, across / d)
    of_output = torch.where(across == 0, (to_x * a + to_eps * b) / (a**2 + b**2), (to_eps * alpha - to_x * sigma) / d)
    if not (of_x_t.isfinite() & of_output.isfinite()).all():
        end = "t = 1, where alpha = 0" if (alpha == 0).any() else "t = 0, where sigma = 0"
        raise ValueError(f"{source} does not determine {target} at {end}: take Velocity(), or a t inside")
    of_x_t, of_output = onto(x_t, of_x_t, of_output)
    return of_x_t * x_t + of_output * output


class NoiseInput(abc.ABC):
    """c_noise: what the network is told of the noise, in float64."""

    @abc.abstractmethod
    def __call__(self, schedule: Schedule, t: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class LogSNR(NoiseInput):
    """log-SNR divided by 8 (log sigma / 4 with the sign turned), finite at both ends."""

    limit: float = 20.0

    def __call__(self, schedule, t):
        return schedule.log_snr(t).clamp(-self.limit, self.limit) / 8


@dataclass(frozen=True)
class Time(NoiseInput):
    """The time itself, multiplied: flow models are told 1000 t."""

    scale: float = 1000.0

    def __call__(self, schedule, t):
        return t.double() * self.scale


@dataclass(frozen=True)
class Index(NoiseInput):
    """The index of a tabulated schedule: i at t = (i + 1) / count. `rounds` where the checkpoint's own tool did, and `cuts`
    what lies between indices to the lower one, where it did that.
    """

    count: int = 1000
    rounds: bool = True
    cuts: bool = False

    def __call__(self, schedule, t):
        index = (t.double() * self.count - 1).clamp(min=0)
        if self.cuts:
            return (index + 1e-3).floor()  # an index that is whole stays, however its time was rounded
        return index.round() if self.rounds else index
