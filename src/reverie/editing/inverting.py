"""From a picture to the noise that it comes from: the probability flow walked up."""

from itertools import pairwise

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from ..errors import ReverieError
from ..samplers.base import Sampler, evaluating
from ..samplers.ddim import DDIM
from ..samplers.dpm2 import DPM2
from ..samplers.euler import Euler
from ..samplers.heun import Heun
from ..samplers.rk4 import RK4
from ..samplers.rosenbrock import Rosenbrock

BOTH_WAYS = (Euler, Heun, DPM2, RK4, Rosenbrock)
"""Samplers whose one step is right in both directions of time (tested)."""


def two_way(sampler: Sampler | None) -> Sampler:
    """The sampler to walk up and down with; DDIM without its noise is Euler's. Raises ReverieError for any other."""
    if sampler is None:
        return Heun()
    if isinstance(sampler, DDIM) and not sampler.eta:
        return Euler()
    if not isinstance(sampler, BOTH_WAYS) or sampler.stochastic:
        known = ", ".join(["ddim", *(cls.__name__.lower() for cls in BOTH_WAYS)])
        raise ReverieError(f"{sampler} does not go up from data to noise: take one of {known}, without noise")
    return sampler


def inverted(sampler: Sampler, denoiser: Denoiser, x: Tensor, grid: Tensor) -> Tensor:
    """x_t at the first time of a falling grid, of data x (B, *) at its last.

    From t = 0, where the noise that is guessed is 0, the first step up is the trapezoid's: half of what is guessed at its end.
    With all of it, or none, the way there and back would be of second order, whatever the sampler.
    """
    up, schedule, memory = grid.flip(0), denoiser.schedule, sampler.init()
    denoiser = denoiser.begin()
    with torch.no_grad(), evaluating(denoiser):
        if schedule(up[0])[1] == 0:
            alpha, sigma = schedule(up[1])
            a, s = onto(x, alpha, sigma)
            x, up = a * x + s / 2 * denoiser(a * x, up[1]).eps(a * x, alpha, sigma), up[1:]
        for t, s in pairwise(up):
            x, memory = sampler.step(denoiser, x, t, s, memory, None)  # type: ignore[arg-type]
    return x


def between(a: Tensor, b: Tensor, share: float) -> Tensor:
    """From x_t a to x_t b along the arc between them, row by row, so that noise keeps its length on the way.

        sin((1 - share) w) / sin(w) a + sin(share w) / sin(w) b,    cos(w) = <a, b> / |a| |b|

    Shoemake 1985, https://doi.org/10.1145/325334.325242
    """
    flat_a, flat_b = a.flatten(1).double(), b.flatten(1).double()
    cos = (flat_a * flat_b).sum(1) / (flat_a.norm(dim=1) * flat_b.norm(dim=1))
    w = cos.clamp(-1, 1).arccos()
    near = w.sin() < 1e-6
    first = torch.where(near, 1 - share, ((1 - share) * w).sin() / w.sin())
    last = torch.where(near, share, (share * w).sin() / w.sin())
    return (first[:, None] * flat_a + last[:, None] * flat_b).reshape(a.shape).to(a)
