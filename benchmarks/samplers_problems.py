"""Problems whose probability flow is known: on a line exactly, elsewhere by a converged integration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture, fit
from reverie.core.schedules import LinearVP, Schedule
from reverie.data import builtin

SCHEDULE = LinearVP()
END = 1e-3
"""Where the grids end: some libraries cannot step to no noise at all."""


@dataclass(frozen=True)
class Problem:
    name: str
    denoiser: Denoiser
    start: Tensor
    """(B, D) at t = 1."""
    end: Tensor
    """(B, D): where the flow takes them by the grids' last time."""
    uncertainty: float
    """Root mean square error of `end`."""


def uniform(steps: int, schedule: Schedule = SCHEDULE) -> Tensor:
    """Even in time."""
    return torch.linspace(1, END, steps + 1, dtype=torch.float64)


def log_snr(steps: int, schedule: Schedule = SCHEDULE) -> Tensor:
    """Even in log-SNR."""
    ends = schedule.log_snr(torch.tensor([1.0, END], dtype=torch.float64))
    return _between(schedule, torch.linspace(*ends.tolist(), steps + 1, dtype=torch.float64))


def karras(steps: int, schedule: Schedule = SCHEDULE) -> Tensor:
    """Even in (sigma / alpha)^(1 / 7)."""
    ends = (schedule.log_snr(torch.tensor([1.0, END], dtype=torch.float64)) / -14).exp()
    return _between(schedule, -14 * torch.linspace(*ends.tolist(), steps + 1, dtype=torch.float64).log())


def _between(schedule: Schedule, log_snrs: Tensor) -> Tensor:
    return torch.cat([torch.ones(1), schedule.time(log_snrs[1:-1]), torch.tensor([END])]).double()


GRIDS = {"uniform in time": uniform, "uniform in log-SNR": log_snr, "Karras": karras}


def integrated(denoiser: Denoiser, x: Tensor, steps: int) -> Tensor:
    """Runge-Kutta 4 for dx / dl = alpha (x_hat - alpha x) in l = log(alpha / sigma), where alpha^2 + sigma^2 = 1."""
    ends = denoiser.schedule.log_snr(torch.tensor([1.0, END], dtype=torch.float64)) / 2
    l = torch.linspace(*ends.tolist(), 2 * steps + 1, dtype=torch.float64)
    times, h = denoiser.schedule.time(2 * l), (l[2] - l[0]).item()
    alphas = denoiser.schedule(times)[0].tolist()
    slope = lambda x, i: alphas[i] * (denoiser(x, times[i]).x_hat - alphas[i] * x)
    for i in range(0, 2 * steps, 2):
        k_1 = slope(x, i)
        k_2 = slope(x + h / 2 * k_1, i + 1)
        k_3 = slope(x + h / 2 * k_2, i + 1)
        k_4 = slope(x + h * k_3, i + 2)
        x = x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    return x


def converged(denoiser: Denoiser, x: Tensor, steps: int = 256) -> tuple[Tensor, float]:
    """Richardson's extrapolation of two integrations, and the distance between the finer of them and it: a bound."""
    coarse, fine = integrated(denoiser, x, steps), integrated(denoiser, x, 2 * steps)
    best = fine + (fine - coarse) / 15
    return best, (best - fine).square().mean().sqrt().item()


def line(samples: int = 64) -> Problem:
    """The middles of equal shares of probability, whose flow is that of the quantiles."""
    d = Mixture(SCHEDULE, torch.tensor([0.4, 0.6]), torch.tensor([[-1.0], [0.8]]), torch.tensor([0.3, 0.2]))
    p = (torch.arange(samples, dtype=torch.float64)[:, None] + 0.5) / samples
    return Problem("two Gaussians on a line", d, d.quantile(p, 1.0), d.quantile(p, END), 0.0)


def ring(samples: int = 128) -> Problem:
    """Eight Gaussians of deviation 0.15 on the unit circle."""
    angles = torch.arange(8, dtype=torch.float64) * torch.pi / 4
    d = Mixture(SCHEDULE, torch.full((8,), 1 / 8), torch.stack([angles.cos(), angles.sin()], 1), torch.full((8,), 0.15))
    start = d.sample(Seeded.at(0, range(samples)), 1.0)
    return Problem("eight Gaussians in the plane", d, start, *converged(d, start))


def digits(samples: int = 48, count: int = 10, seed: int = 0) -> Problem:
    """Some Gaussians of full covariance, fitted to the 1797 digits of 8 x 8 pixels in [-1, 1]."""
    x = torch.as_tensor(builtin.load("digits").raw).reshape(-1, 64).double() / 127.5 - 1
    d = fit(SCHEDULE, x, count, steps=20, seed=seed)
    start = d.sample(Seeded.at(seed, range(samples)), 1.0)
    return Problem("digits, 64 dimensions", d, start, *converged(d, start))


def further(samples: Sequence[int]) -> list[Problem]:
    """One more of each kind. No sampler of ours, nor any option of one, was chosen by them."""
    p = (torch.arange(samples[0], dtype=torch.float64)[:, None] + 0.5) / samples[0]
    means, stds = torch.tensor([[-1.5], [0.1], [1.2]]), torch.tensor([0.15, 0.4, 0.25])
    three = Mixture(SCHEDULE, torch.tensor([0.2, 0.5, 0.3]), means, stds)
    found = [Problem("three Gaussians on a line", three, three.quantile(p, 1.0), three.quantile(p, END), 0.0)]

    at = torch.linspace(-1, 1, 5)
    lattice = Mixture(SCHEDULE, torch.full((25,), 1 / 25), torch.cartesian_prod(at, at), torch.full((25,), 0.08))
    start = lattice.sample(Seeded.at(1, range(samples[1])), 1.0)
    found.append(Problem("25 Gaussians in the plane", lattice, start, *converged(lattice, start)))

    other = digits(samples[2], count=25, seed=1)
    return [*found, replace(other, name="digits, 25 components")]


class Stacked(Denoiser):
    """Several problems as rows of one batch, padded with zeros that stay zero: what a step costs is paid once for all."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.schedule, self.problems = SCHEDULE, tuple(problems)
        self.rows, at = [], 0
        for problem in problems:
            self.rows.append((slice(at, at + len(problem.start)), problem.start.shape[1]))
            at += len(problem.start)
        self.start = torch.zeros(at, max(width for _, width in self.rows), dtype=torch.float64)
        for problem, (rows, width) in zip(problems, self.rows):
            self.start[rows, :width] = problem.start

    def forward(self, x_t, t):
        x_hat = torch.zeros_like(x_t)
        for problem, (rows, width) in zip(self.problems, self.rows):
            x_hat[rows, :width] = problem.denoiser(x_t[rows, :width], t).x_hat
        return Estimate(x_hat)

    def errors(self, end: Tensor) -> list[float]:
        """Of each problem, root mean square over samples and coordinates."""
        return [
            (end[rows, :width] - problem.end).square().mean().sqrt().item()
            for problem, (rows, width) in zip(self.problems, self.rows)
        ]
