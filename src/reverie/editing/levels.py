"""From a strength to a noise level, and the times from there down."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.grids import Grid
from ..core.schedules import Schedule
from ..errors import ReverieError
from .base import share

LEAST = 1e-6
"""Noise over picture, from where on float32 has digits for it."""


class Level(NamedTuple):
    t: float
    ratio: float
    """sigma_t / alpha_t."""

    def __str__(self) -> str:
        log_snr = -2 * math.log(self.ratio) if self.ratio else math.inf
        return f"t = {self.t:.4g}, sigma / alpha = {self.ratio:.4g}, log-SNR {log_snr:.3g}"


def level(schedule: Schedule, strength: float, std: float) -> Level:
    """The noise that a strength from 0 to 1 asks for, the same on every schedule for data of the spread `std`:

        atan(sigma_t / (alpha_t std)) = strength atan(sigma_1 / (alpha_1 std))

    At 1/2 there is as much noise as picture, or a little less where t = 1 is not pure noise. A strength of less noise
    than LEAST of the picture is 0. Raises ReverieError where
    the strength is not a share.
    """
    share("strength", strength)
    alpha, sigma = schedule(1.0)
    angle = strength * torch.atan2(sigma, alpha * std)
    if strength == 1:
        return Level(1.0, (sigma / alpha).item())
    ratio = (std * angle.tan()).item()
    return Level(schedule.time(-2 * math.log(ratio)).item(), ratio) if ratio > LEAST * std else Level(0.0, 0.0)


def times(grid: Grid, schedule: Schedule, top: float) -> Tensor:
    """float64 (steps + 1,): the grid's own times at `top` = 1, and as many steps below a lower one, continuous in it.

    The grid as a function of the step number u is linear between its times. The steps are even in u, from where it is at
    `top` to its end. Raises ReverieError where the grid goes up, or has no time below `top`.
    """
    if grid.upward:
        raise ReverieError("edits take a grid that only falls: this one goes up on its way")
    try:
        whole = grid(schedule)
    except ValueError as error:
        raise ReverieError(str(error)) from None
    if top >= whole[0]:
        return whole
    if top <= whole[-1]:
        raise ReverieError(f"the grid ends at t = {whole[-1].item():.3g}, above the noise that this strength asks for")
    after = int((whole > top).sum())  # whole[after - 1] > top >= whole[after]
    u_top = after - 1 + (whole[after - 1] - top) / (whole[after - 1] - whole[after])
    u = u_top + (grid.steps - u_top) * torch.linspace(0, 1, grid.steps + 1, dtype=torch.float64)
    low = u.floor().long().clamp(max=len(whole) - 2)
    found = whole[low].lerp(whole[low + 1], u - low)
    found[0], found[-1] = top, whole[-1]
    return found
