"""Flow maps jump: x_s(x_t, t, s), where a denoiser only says which way to go. Consistency models are flow maps."""

import abc
import math
from typing import Protocol

import torch
from torch import Tensor, nn

from .denoisers import Denoiser
from .flows import Rotation
from .schedules import Schedule, onto
from .solvers import RungeKutta4


class FlowMap(nn.Module, abc.ABC):
    """Where the probability-flow ODE takes x_t by time s; s = 0 is the consistency function, t = s the identity.

    Not a Denoiser: its value at s = 0 is a sample, not E[x | x_t]. Song et al. 2023, https://arxiv.org/abs/2303.01469;
    Kim et al. 2023, https://arxiv.org/abs/2310.02279
    """

    schedule: Schedule

    @abc.abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, s: Tensor, **cond: Tensor) -> Tensor:
        """x_s, shaped and typed like x_t (B, *); t and s in float64 on the CPU, `()`, `(B,)` or broadcastable to x_t."""


class Flowing(Protocol):
    """Data whose flow is known: `oracles.Normal` in any dimension, `oracles.Mixture` in one."""

    schedule: Schedule

    def flow(self, x_t: Tensor, t: Tensor | float, s: Tensor | float) -> Tensor: ...


class Exact(FlowMap):
    """The flow map of data whose flow is known exactly: a perfect consistency model, computed in float64."""

    def __init__(self, oracle: Flowing) -> None:
        super().__init__()
        self.oracle, self.schedule = oracle, oracle.schedule

    def forward(self, x_t, t, s):
        return self.oracle.flow(x_t.double(), t, s).to(x_t.device, torch.promote_types(x_t.dtype, torch.float32))


class Integrated(FlowMap):
    """The flow map of any denoiser, by Runge-Kutta steps that are even in log-SNR: what has no closed form, as fine as
    wanted. Between `limit` and -limit, then one DDIM step to whichever end lies beyond.
    """

    def __init__(self, denoiser: Denoiser, steps: int = 200, limit: float = 14.0) -> None:
        super().__init__()
        self.denoiser, self.schedule, self.steps, self.limit = denoiser, denoiser.schedule, steps, limit

    def forward(self, x_t, t, s, **cond):
        denoiser, flow = self.denoiser.given(**cond) if cond else self.denoiser, Rotation(self.schedule)
        first, last = (self._angle(time, len(x_t)) for time in (t, s))
        way = torch.linspace(0, 1, self.steps + 1, dtype=torch.float64)[:, None]
        stops = (first.tan().log() + way * (last.tan().log() - first.tan().log())).exp().atan()
        (r_t,) = onto(x_t, flow.radius(t))
        y = x_t.double() / r_t

        def field(u: Tensor, z: Tensor) -> Tensor:
            return flow.velocity(denoiser, z.reshape(x_t.shape), u).flatten(1)

        # from pure noise, or towards it, the first and the last stop are within a step of Euler's of the true end
        y = y + onto(x_t, first - flow.angle(t))[0] * flow.velocity(denoiser, y, first)
        y = RungeKutta4()(field, y.flatten(1), stops).z.reshape(x_t.shape)
        y = y + onto(x_t, flow.angle(s) - last)[0] * flow.velocity(denoiser, y, last)
        (r_s,) = onto(x_t, flow.radius(s))
        return (r_s * y).to(torch.promote_types(x_t.dtype, torch.float32))

    def _angle(self, t: Tensor | float, n: int) -> Tensor:
        """(n,), within the limits."""
        bound = math.exp(-self.limit / 2)
        return Rotation(self.schedule).angle(t).reshape(-1).expand(n).clamp(math.atan(bound), math.atan(1 / bound))
