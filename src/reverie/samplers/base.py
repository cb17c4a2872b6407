"""What a sampler is: frozen hyperparameters and one step. The one loop is `Sampler.trajectory`."""

import abc
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.denoisers import Denoiser
from ..core.noise import Noise
from ..core.processes import Gaussian
from ..core.schedules import Schedule

Memory = Any
"""What a sampler keeps from its last steps; `None` before the first."""


def pure_noise(schedule: Schedule, t: Tensor) -> bool:
    """Whether alpha_t is 0 or too small beside sigma_t for d(x / alpha), where the rounding of float32 would be all."""
    alpha_t, sigma_t = schedule(t)
    return bool(alpha_t <= 1e-3 * sigma_t)


class Cost(NamedTuple):
    """How often a sampler asks the denoiser in a step, and in the steps that differ."""

    step: int = 1
    first: tuple[int, ...] = ()
    """In the first steps and in those after an edit, while it remembers too little."""
    from_noise: int | None = None
    """In a step from `pure_noise`."""
    to_data: int | None = None
    """In a step to sigma_s = 0; goes before the others."""

    def total(self, schedule: Schedule, grid: Tensor) -> int:
        """Of a trajectory along a grid."""
        asked, past = 0, 0
        for t, s in pairwise(grid):
            if s > t:
                past = 0
                continue
            here = self.first[past] if past < len(self.first) else self.step
            if self.from_noise is not None and pure_noise(schedule, t):
                here = self.from_noise
            if self.to_data is not None and schedule(s)[1] == 0:
                here = self.to_data
            asked, past = asked + here, past + 1
        return asked

    def __str__(self) -> str:
        first = ", ".join(map(str, self.first))
        parts = [
            f"{self.step} a step",
            f"{first} in the first" if self.first else "",
            f"{self.from_noise} from pure noise" if self.from_noise is not None else "",
            f"{self.to_data} to the data" if self.to_data is not None else "",
        ]
        return ", ".join(part for part in parts if part)


class Tally(NamedTuple):
    """What each sample cost where they differ, (B,) int64 each, since the start or the last edit."""

    accepted: Tensor
    rejected: Tensor
    evaluations: Tensor


class State(NamedTuple):
    """Where a trajectory is after a step."""

    t: Tensor
    x_t: Tensor
    x_hat: Tensor
    """The latest guess."""
    evaluations: int
    """Of the denoiser, so far: calls, each on the whole batch."""
    tally: Tally | None = None
    """Of the samplers that choose their own steps."""


class Sampler(abc.ABC):
    """Frozen and hashable; holds no model, no grid, no tensor."""

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """Order of convergence to the probability-flow ODE, or to the SDE along a Brownian path (tested)."""

    stochastic: bool = False
    """Whether a step draws noise."""

    weak: bool = False
    """Whether it draws noise of no step, which is of no Brownian path: `order` is then that of mean and spread alone."""

    @property
    def evaluations(self) -> Cost | None:
        """Calls of the denoiser; None where the sampler takes as many as it needs (tested)."""
        return Cost()

    def init(self) -> Memory:
        return None

    def tally(self, memory: Memory) -> Tally | None:
        """What each sample has cost so far, by the memory of the last step."""
        return None

    @abc.abstractmethod
    def step(
        self, denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, memory: Memory, noise: Noise
    ) -> tuple[Tensor, Memory]:
        """Goes from x_t (B, *) to x_s, s < t, both `()`. Returns x_s and the memory for the next step."""

    def trajectory(
        self, denoiser: Denoiser, x_t: Tensor, grid: Tensor, noise: Noise
    ) -> Generator[State, Tensor | None, None]:
        """Yields the state at every time of the grid after the first.

        `send(x)` replaces x_t, forgets the past and yields the edited state. Where the grid goes up, x_t is noised.
        Between two states the caller finds gradients and the mode of the network as they were.
        """
        watched, memory = Watched(denoiser.begin()), self.init()
        for t, s in pairwise(grid):
            if s > t:
                x_t = Gaussian(denoiser.schedule).renoise(x_t, t, s, noise.draw(x_t, t, s))
                watched.denoiser, memory = denoiser.begin(), self.init()
            else:
                with torch.no_grad(), evaluating(watched):
                    x_t, memory = self.step(watched, x_t, t, s, memory, noise)
            x_hat = x_t if watched.x_hat is None else watched.x_hat
            while (edited := (yield State(s, x_t, x_hat, watched.evaluations, self.tally(memory)))) is not None:
                x_t, watched.denoiser, memory = edited, denoiser.begin(), self.init()

    def __call__(self, denoiser: Denoiser, x_t: Tensor, grid: Tensor, noise: Noise) -> Tensor:
        """x at the grid's last time, from x_t (B, *) at its first."""
        for state in self.trajectory(denoiser, x_t, grid, noise):
            x_t = state.x_t
        return x_t


class Watched(Denoiser):
    """The same denoiser, remembering its last guess and how often it was asked."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.schedule, self.evaluations = denoiser, denoiser.schedule, 0
        self.x_hat: Tensor | None = None

    def forward(self, x_t, t, **cond):
        estimate = self.denoiser(x_t, t, **cond)
        self.x_hat, self.evaluations = estimate.x_hat, self.evaluations + 1
        return estimate


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; every part has its own mode back after."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
