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

Memory = Any
"""What a sampler keeps from its last steps; `None` before the first."""


class State(NamedTuple):
    """Where a trajectory is after a step."""

    t: Tensor
    x_t: Tensor
    x_hat: Tensor
    """The latest guess."""
    evaluations: int
    """Of the denoiser, so far."""


class Sampler(abc.ABC):
    """Frozen and hashable; holds no model, no grid, no tensor."""

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """Order of convergence to the probability-flow ODE, or to the SDE along a Brownian path (tested)."""

    stochastic: bool = False
    """Whether a step draws noise."""

    def init(self) -> Memory:
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
            while (edited := (yield State(s, x_t, x_hat, watched.evaluations))) is not None:
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
