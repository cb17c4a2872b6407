"""How fast each sampler converges when it makes its own start: log2 of its errors at 128 and at 256 evaluations."""

from math import log

import torch
from torch import Tensor

from reverie import discover, samplers
from reverie.core.noise import Seeded
from reverie.core.oracles import Normal
from reverie.samplers.adaptive import Adaptive
from reverie.samplers.base import Sampler

from .samplers_ours import Remembered, steps_for
from .samplers_problems import END, SCHEDULE, line, log_snr

MEAN, STD = 0.4, 0.5
"""Of the Gaussian data on which stochastic samplers are measured."""


class Probes:
    """Noise that is zero but for row i, whose draw i is one: with it a batch reads off what each draw does."""

    def __init__(self, rows: int) -> None:
        self.draws, self.place = 0, torch.arange(rows)

    def draw(self, like: Tensor, t=None, s=None) -> Tensor:
        noise = torch.zeros_like(like)
        if self.draws < len(like):
            noise[self.draws] = 1
        self.draws += 1
        return noise


def error_of_the_flow(sampler: Sampler, evaluations: int) -> float:
    """Root mean square on two Gaussians on a line."""
    problem = line(32)
    problem.denoiser.schedule = Remembered(SCHEDULE)
    grid = log_snr(steps_for(sampler, evaluations, log_snr))
    end = sampler(problem.denoiser, problem.start, grid, Seeded(()))
    return (end - problem.end).square().mean().sqrt().item()


def error_of_the_marginal(sampler: Sampler, evaluations: int) -> float:
    """Of mean and deviation together, on a Gaussian, where steps are affine: propagated exactly, without a draw."""
    denoiser = Normal(Remembered(SCHEDULE), torch.tensor([MEAN]).double(), torch.tensor([[STD**2]]).double())
    grid = log_snr(steps_for(sampler, evaluations, log_snr))
    counting = Probes(0)
    sampler(denoiser, torch.zeros(0, 1, dtype=torch.float64), grid, counting)  # type: ignore[arg-type]
    n = counting.draws
    x = torch.zeros(n + 2, 1, dtype=torch.float64)
    x[n + 1] = 1
    end = sampler(denoiser, x, grid, Probes(n + 2))[:, 0]  # type: ignore[arg-type]
    gain, draws = end[n + 1] - end[n], end[:n] - end[n]
    (mean_1, variance_1), (mean, variance) = (denoiser.marginal(torch.tensor(t).double()) for t in (1.0, END))
    spread = (gain**2 * variance_1 + draws.square().sum()).sqrt()
    return ((end[n] + gain * mean_1 - mean).abs() + (spread - variance.sqrt()).abs()).item()


def slope_by_tolerance(tolerance: float = 1e-5) -> float:
    """Of a sampler that chooses its own steps: how its error falls with the evaluations that a hundredth of it costs."""
    problem, found = line(32), []
    for some in (tolerance, tolerance / 100):
        *_, state = Adaptive(some, some).trajectory(problem.denoiser, problem.start, log_snr(1), Seeded(()))
        error = (state.x_t - problem.end).square().mean().sqrt().item()
        assert state.tally is not None
        found.append((error, state.tally.evaluations.double().mean().item()))
    (error, count), (less, more) = found
    return log(error / less) / log(more / count)


@torch.no_grad()
def slopes() -> dict[str, float]:
    """Of every sampler as it is by default, on even steps in log-SNR."""
    found = {}
    for name, cls in discover.discover(samplers, Sampler).items():
        sampler = cls()
        if sampler.evaluations is None:
            found[name.lower()] = slope_by_tolerance()
            continue
        error = error_of_the_marginal if sampler.stochastic else error_of_the_flow
        found[name.lower()] = log(error(sampler, 128) / error(sampler, 256)) / log(2)
    return found
