"""Samplers of flow maps, which jump; `discover(samplers, Jumps)` lists them. They take no Denoiser."""

import abc
from collections.abc import Generator
from itertools import pairwise

import torch
from torch import Tensor

from ..core.flow_maps import FlowMap
from ..core.noise import Noise
from ..core.processes import Gaussian
from .base import Cost, State, evaluating


class Jumps(abc.ABC):
    """Frozen and hashable; holds no model, no grid, no tensor. A perfect map leaves no error, so there is no order."""

    stochastic: bool = False
    """Whether a step draws noise."""

    @property
    def evaluations(self) -> Cost:
        """Calls of the flow map."""
        return Cost()

    @abc.abstractmethod
    def step(self, flow_map: FlowMap, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Goes from x_t (B, *) to x_s, s < t, both `()`. Returns x_s, and where the map jumped to on the way."""

    def trajectory(
        self, flow_map: FlowMap, x_t: Tensor, grid: Tensor, noise: Noise
    ) -> Generator[State, Tensor | None, None]:
        """Yields the state at every time of the grid after the first, as `Sampler.trajectory` does; x_hat is the jump."""
        jump, evaluations = x_t, 0
        for t, s in pairwise(grid):
            if s > t:
                x_t = Gaussian(flow_map.schedule).renoise(x_t, t, s, noise.draw(x_t, t, s))
            else:
                with torch.no_grad(), evaluating(flow_map):
                    x_t, jump = self.step(flow_map, x_t, t, s, noise)
                evaluations += self.evaluations.step
            while (edited := (yield State(s, x_t, jump, evaluations))) is not None:
                x_t = edited

    def __call__(self, flow_map: FlowMap, x_t: Tensor, grid: Tensor, noise: Noise) -> Tensor:
        """x at the grid's last time, from x_t (B, *) at its first."""
        for state in self.trajectory(flow_map, x_t, grid, noise):
            x_t = state.x_t
        return x_t
