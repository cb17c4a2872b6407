"""What the contracts measure of a sampler against exact answers: its order, and the spread it leaves."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor
from truth import levels

from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Brownian
from reverie.core.oracles import Mixture
from reverie.core.schedules import VE, Cosine, Rectified, Schedule
from reverie.samplers.ddim import DDIM


@dataclass(frozen=True)
class Remembered(Schedule):
    """The same schedule, each of its times computed once: most of a step's cost on small data is its coefficients."""

    schedule: Schedule

    def alpha(self, t):
        return self(t)[0]

    def sigma(self, t):
        return self(t)[1]

    def __call__(self, t):
        return _scales(self.schedule, float(t)) if torch.as_tensor(t).ndim == 0 else self.schedule(t)

    def log_snr(self, t):
        return _log_snr(self.schedule, float(t)) if torch.as_tensor(t).ndim == 0 else self.schedule.log_snr(t)

    def time(self, log_snr):
        one = torch.as_tensor(log_snr).ndim == 0
        return _time(self.schedule, float(log_snr)) if one else self.schedule.time(log_snr)


@cache
def _scales(schedule, t):
    return schedule(t)


@cache
def _log_snr(schedule, t):
    return schedule.log_snr(t)


@cache
def _time(schedule, log_snr):
    return schedule.time(log_snr)


COSINE, RECTIFIED, EXPLODING = (Remembered(schedule) for schedule in (Cosine(), Rectified(), VE()))
PLACES = levels(9)


class Bumps(Denoiser):
    """Two Gaussians of one deviation on a line, 0.4 N(-1, 0.3^2) + 0.6 N(0.8, 0.3^2), in few operations.

    With c the middle, d half the distance and v = alpha_t^2 0.3^2 + sigma_t^2, the mean of the component is
    c + d tanh(alpha_t d / v (x_t - alpha_t c) + log(0.6 / 0.4) / 2), and x_hat as for one Gaussian about it.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        means, stds = torch.tensor([[-1.0], [0.8]]), torch.tensor([0.3, 0.3])
        self.mixture = Mixture(schedule, torch.tensor([0.4, 0.6]), means, stds)
        self.std, self.far = self.mixture.stds[0].item(), self.mixture.means[1].item()
        self.lean = (self.mixture.weights[1] / self.mixture.weights[0]).log().item() / 2

    def forward(self, x_t, t):
        alpha, sigma = (c.item() if c.ndim == 0 else c[:, None] for c in self.schedule(t))
        v = (alpha * self.std) ** 2 + sigma**2
        gain = alpha * self.std**2 / v
        c, d = (self.far - 1) / 2, (self.far + 1) / 2
        mean = c + d * torch.tanh((alpha * d / v) * (x_t - alpha * c) + self.lean)
        return Estimate(gain * x_t + (1 - alpha * gain) * mean)

    def at(self, t: Tensor) -> Tensor:
        """(9, 1): where the flow of the nine places stands at time t."""
        return _places(self.schedule, float(t))


@cache
def _places(schedule, t):
    return Bumps(schedule).mixture.quantile(PLACES, t)


def even(n: int, schedule: Schedule) -> Tensor:
    """From log-SNR -6 to 4 in equal steps."""
    return schedule.time(torch.linspace(-6, 4, n + 1, dtype=torch.float64))


def uneven(n: int, schedule: Schedule) -> Tensor:
    """Long and short steps in turn: a wrong step ratio is invisible on an even grid."""
    lengths = torch.tensor([1.0, 0.3], dtype=torch.float64).repeat(n // 2)
    way = torch.cat([lengths.new_zeros(1), lengths.cumsum(0) / lengths.sum()])
    return schedule.time(-6 + 10 * way)


def karras(n: int, schedule: Schedule) -> Tensor:
    """Even in (sigma / alpha)^(1 / 7), between the same ends."""
    top, bottom = math.exp(3 / 7), math.exp(-2 / 7)
    return schedule.time(-14 * torch.linspace(top, bottom, n + 1, dtype=torch.float64).log())


GRIDS = (even, uneven, karras)
HISTORY = 8
"""Steps that are led along the exact flow: more than any sampler remembers."""


def led(memory, base: Tensor):
    """Correctors remember where DDIM went from their corrected state, which is not the exact one: here it is.

    Without this a corrector led along the exact flow goes on from its own start, whose order is low.
    """
    if getattr(memory, "base", None) is not None:
        return memory._replace(base=base)
    if (
        isinstance(memory, tuple)
        and not hasattr(memory, "tally")
        and len(memory) == 3
        and isinstance(memory[0], Tensor)
        and isinstance(memory[2], tuple)
    ):
        return (base, *memory[1:])
    return memory


@torch.no_grad()
def error_from_exact_history(sampler, denoiser: Bumps, grid: Tensor, history: int = HISTORY) -> float:
    """Root mean square at the end of the grid; the memory is filled along the exact flow, not by lower orders."""
    noise, memory = None, sampler.init()
    for t, s in pairwise(grid[: history + 1]):
        _, memory = sampler.step(denoiser, denoiser.at(t), t, s, memory, noise)
        memory = led(memory, DDIM().step(denoiser, denoiser.at(t), t, s, None, noise)[0])
    x = denoiser.at(grid[history])
    for t, s in pairwise(grid[history:]):
        x, memory = sampler.step(denoiser, x, t, s, memory, noise)
    return (x - denoiser.at(grid[-1])).square().mean().sqrt().item()


def error_of_a_step(sampler, denoiser: Bumps, history: int, length: float) -> float:
    """Of one step after so many along the exact flow, from log-SNR -0.6; `length` is that of the longest, in log-SNR."""
    lengths = length * torch.tensor([1.0, 0.3, 0.7], dtype=torch.float64).repeat(4)[: history + 1]
    way = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return error_from_exact_history(sampler, denoiser, denoiser.schedule.time(-0.6 + way - way[history]), history)


@torch.no_grad()
def error_self_started(sampler, denoiser: Bumps, grid: Tensor) -> float:
    """The same with the sampler's own start."""
    x = sampler(denoiser, denoiser.at(grid[0]), grid, None)
    return (x - denoiser.at(grid[-1])).square().mean().sqrt().item()


ROUNDING = 2e-13
"""An error below this is that of float64 after a few hundred steps, and has no slope."""


def slopes(errors: list[float]) -> list[float]:
    """log2 of each error over the next, those of twice the steps; infinite where rounding is reached."""
    return [math.inf if b < ROUNDING else math.log2(a / b) for a, b in pairwise(errors)]


def order_of_a_step(sampler) -> int:
    """One less than the power of h in the error of one step: that of the predictor where a corrector comes a step later."""
    return getattr(sampler, "predictor", sampler.order) if type(sampler).__name__ == "SASolver" else sampler.order


def slack(order: int) -> float:
    return 0.5 if order >= 4 else 0.25


def greatest_slope(error, ns: tuple[int, ...], wanted: float) -> float:
    """The greatest of the slopes between neighbouring ns; stops at the first that is as wanted."""
    errors, best = [error(ns[0])], -math.inf
    for n in ns[1:]:
        errors.append(error(n))
        best = max(best, slopes(errors)[-1]) if math.isfinite(errors[-1]) else best
        if best >= wanted:
            break
    return best


class Probes:
    """Noise that is zero but for row i, whose draw i is one: with it the rows of a batch read off the coefficients."""

    def __init__(self, rows: int) -> None:
        self.draws, self.place = 0, torch.arange(rows)

    def draw(self, like, t=None, s=None):
        noise = torch.zeros_like(like)
        if self.draws < len(like):
            noise[self.draws] = 1
        self.draws += 1
        return noise


@dataclass(frozen=True)
class Affine:
    """x_end = shift + gain x_start + sum_i draws_i z_i, of a trajectory on one-dimensional Gaussian data."""

    shift: float
    gain: float
    draws: Tensor

    def marginal(self, mean: float, variance: float) -> tuple[float, float]:
        """Mean and deviation at the end for those of the start, exactly."""
        return self.shift + self.gain * mean, (self.gain**2 * variance + self.draws.square().sum().item()) ** 0.5


class Bell(Denoiser):
    """N(0.4, 0.5^2) on a line; `rounded` to a type, its guesses are those of a network that computes in it."""

    mean, std = 0.4, 0.5

    def __init__(self, schedule: Schedule, rounded: torch.dtype | None = None) -> None:
        super().__init__()
        self.schedule, self.rounded = schedule, rounded

    def forward(self, x_t, t):
        alpha, sigma = (c.item() if c.ndim == 0 else c[:, None] for c in self.schedule(t))
        gain = alpha * self.std**2 / ((alpha * self.std) ** 2 + sigma**2)
        x_hat = gain * x_t + (1 - alpha * gain) * self.mean
        return Estimate(x_hat if self.rounded is None else x_hat.to(self.rounded).to(x_t))

    def marginal(self, t) -> tuple[float, float]:
        alpha, sigma = (c.item() for c in self.schedule(t))
        return alpha * self.mean, (alpha * self.std) ** 2 + sigma**2


@torch.no_grad()
def affine(sampler, denoiser: Bell, grid: Tensor) -> Affine:
    """By probing: one trajectory for all coefficients, a row of the batch for each."""
    counting = Probes(0)
    if sampler.stochastic:
        sampler(denoiser, torch.zeros(0, 1, dtype=torch.float64), grid, counting)
    n = counting.draws
    x = torch.zeros(n + 2, 1, dtype=torch.float64)
    x[n + 1] = 1
    end = sampler(denoiser, x, grid, Probes(n + 2))[:, 0]
    return Affine(end[n].item(), (end[n + 1] - end[n]).item(), end[:n] - end[n])


def error_of_the_marginal(sampler, denoiser: Bell, grid: Tensor) -> float:
    """Of mean and deviation at the end of the grid, from the exact ones at its start."""
    mean, std = affine(sampler, denoiser, grid).marginal(*denoiser.marginal(grid[0]))
    true_mean, true_variance = denoiser.marginal(grid[-1])
    return abs(mean - true_mean) + abs(std - true_variance**0.5)


class Path(Brownian):
    """A Brownian path whose values are computed once a time, whoever asks."""

    def _bridge(self, u, shape):
        return _bridge(self.seeds, u, tuple(shape))


@cache
def _bridge(seeds, u, shape):
    path = Brownian(seeds, COSINE)
    return Brownian._bridge(path, u, torch.Size(shape))


@torch.no_grad()
def gaps_along_a_path(sampler, ns: tuple[int, ...]) -> Iterator[float]:
    """Root mean square differences between ends at neighbouring ns, all driven by one Brownian path."""
    d, path = Bell(COSINE), Path([5, 6], COSINE)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 300, 1, generator=generator, dtype=torch.float64)
    ends = (sampler(d, x, uneven(n, COSINE), path) for n in ns)
    for a, b in pairwise(ends):
        yield (a - b).square().mean().sqrt().item()


class Jolted(Denoiser):
    """The same guesses but for row i, whose guess i is one more: with it a batch reads off what each guess does."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.schedule, self.asked = denoiser, denoiser.schedule, [0]

    def forward(self, x_t, t):
        x_hat = self.denoiser(x_t, t).x_hat.clone()
        if self.asked[0] < len(x_t):
            x_hat[self.asked[0]] += 1
        self.asked[0] += 1
        return Estimate(x_hat)


class Silence:
    """Noise that is zero."""

    def __init__(self, rows: int) -> None:
        self.place = torch.arange(rows)

    def draw(self, like, t=None, s=None):
        return torch.zeros_like(like)


@torch.no_grad()
def sensitivities(sampler, denoiser: Bell, grid: Tensor) -> Tensor:
    """(n,): what the end moves by when one of the n guesses on the way moves by one; Gaussian data."""
    counting = Jolted(denoiser)
    sampler(counting, torch.zeros(1, 1, dtype=torch.float64), grid, Silence(1))
    n = counting.asked[0]
    end = sampler(Jolted(denoiser), torch.zeros(n + 1, 1, dtype=torch.float64), grid, Silence(n + 1))[:, 0]
    return end[:n] - end[n]


def exactly_affine(sampler) -> bool:
    """Whether a trajectory on Gaussian data is affine in its start and its draws, and of the order that it declares on
    any grid: not where the step size depends on the sample, or on how much of the time at each level it is given."""
    own_steps = sampler.evaluations is None
    return (
        not own_steps and type(sampler).__name__ not in ("AnnealedLangevin",) and not getattr(sampler, "norms", False)
    )
