"""The likelihood of samples along the probability-flow ODE."""

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .denoisers import Denoiser
from .divergences import Divergence, Rademacher, within
from .flows import Rotation
from .grids import Grid, LogSNR
from .noise import Noise
from .schedules import Schedule, onto
from .solvers import RungeKutta4, Solver
from .spaces import Space


class LogLikelihood(NamedTuple):
    """log p(x) of each sample, all (B,)."""

    nats: Tensor
    """float64, of the density over the whole sample."""
    error: Tensor
    """Standard error that the probes leave: 0 where the divergence is exact, NaN with a single probe."""
    evaluations: Tensor
    """Of the denoiser."""
    dim: Tensor
    """Degrees of freedom: nats / dim is what a dimension gets."""


class Prior(abc.ABC):
    """What x_1 is said to be distributed as."""

    @abc.abstractmethod
    def __call__(self, schedule: Schedule, x_1: Tensor, space: Space) -> Tensor:
        """log p_1, (B,)."""


@dataclass(frozen=True)
class Start(Prior):
    """N(0, sigma_1^2 I), where samplers begin: the likelihood is that of the model as it is sampled, alpha_1 = 0 or not."""

    def __call__(self, schedule, x_1, space):
        return normal_log_prob(x_1, 0.0, schedule(1.0)[1].item(), space)


@dataclass(frozen=True)
class Matched(Prior):
    """N(alpha_1 mean, alpha_1^2 std^2 + sigma_1^2): what is left of data with that mean and deviation in every entry.

    Where alpha_1 = 0 it is `Start`; where not, it is nearer to the true p_1, and another model than the one sampled.
    """

    mean: float = 0.0
    std: float = 1.0

    def __call__(self, schedule, x_1, space):
        alpha_1, sigma_1 = (c.item() for c in schedule(1.0))
        return normal_log_prob(x_1, alpha_1 * self.mean, math.hypot(alpha_1 * self.std, sigma_1), space)


def normal_log_prob(x: Tensor, mean: float, std: float, space: Space = Space()) -> Tensor:
    """log N(x; mean, std^2), (B,), over the degrees of freedom of the space."""
    dim = freedom(x, space)
    return -dim * (space.mean(((x - mean) / std) ** 2) / 2 + math.log(std) + math.log(2 * math.pi) / 2)


def freedom(x: Tensor, space: Space) -> Tensor:
    """(B,): the degrees of freedom of each sample."""
    return space.real(x).flatten(1).sum(1) - space.centred


@dataclass(frozen=True)
class FlowLikelihood:
    """log p(x) where p is what the flow makes of its prior, followed from t = 1 to the last t > 0 of the grid.

        log p_y(y_0) = log p_y(y_1) + integral of div(dy/du) du,    from u_0 to u_1

    in the angle u and y = x / r of `flows.Rotation`, from y_0 = x alpha_0 / r_0. With the volumes of the two changes of
    variable, D dimensions and log p_1 from the `prior`:

        log p(x) = log p_1(x_1) + D log r_1 - D log(r_0 / alpha_0) + integral of div(dy/du) du

    So x stands for x_t / alpha_t at that smallest t, with no noise added: choose its sigma below what matters in the
    data. In float64. Chen et al. 2018, https://arxiv.org/abs/1806.07366; Song et al. 2020, https://arxiv.org/abs/2011.13456
    """

    divergence: Divergence = Rademacher()
    grid: Grid = LogSNR(48, low=-10.0, high=14.0)
    solver: Solver = RungeKutta4()
    prior: Prior = Start()

    def __call__(self, denoiser: Denoiser, x: Tensor, noise: Noise, space: Space = Space()) -> LogLikelihood:
        """Of x (B, *); the denoiser is asked as it is, so put its networks in eval mode first."""
        x, denoiser, flow = x.double(), denoiser.begin(), Rotation(denoiser.schedule)
        times = self.grid(denoiser.schedule).flip(0)
        times = times[denoiser.schedule.sigma(times) > 0]
        probes = within(space, self.divergence.probes(x, noise))
        P = 1 if self.divergence.exact else len(probes)

        def field(u: Tensor, z: Tensor) -> Tensor:
            y = z[:, :-P].reshape(x.shape)
            velocity, traces = self.divergence(lambda y: space.project(flow.velocity(denoiser, y, u)), y, probes)
            traces = traces.sum(1, keepdim=True) if self.divergence.exact else traces
            return torch.cat([velocity.flatten(1), traces], 1)

        alpha_0, r_0, r_1 = denoiser.schedule(times[0])[0], flow.radius(times[0]), flow.radius(times[-1])
        (scale, r) = onto(x, alpha_0 / r_0, r_1)
        z = torch.cat([(scale * x).flatten(1), x.new_zeros(len(x), P)], 1)
        solved = self.solver(field, z, flow.angle(times))
        x_1, traces = r * solved.z[:, :-P].reshape(x.shape), solved.z[:, -P:]
        dim = freedom(x, space)
        nats = self.prior(denoiser.schedule, x_1, space) + dim * (r_1 * alpha_0 / r_0).log().to(x) + traces.mean(1)
        error = (
            torch.zeros_like(nats) if self.divergence.exact else traces.std(1, correction=1 if P > 1 else 0) / P**0.5
        )
        error = torch.full_like(nats, math.nan) if P == 1 and not self.divergence.exact else error
        return LogLikelihood(nats, error, solved.evaluations, dim)
