"""Churn: part of a step taken back as fresh noise before the step is made."""

from math import inf

import torch
from torch import Tensor

from ..core.noise import Noise
from ..core.processes import Gaussian
from ..core.schedules import Schedule


def churned(
    schedule: Schedule, x_t: Tensor, t: Tensor, s: Tensor, top: Tensor, churn: float, interval: tuple, noise: Noise
) -> tuple[Tensor, Tensor]:
    """x and the time after the noise-to-signal ratio was raised, at most to that of the time `top`:

        log ratio' = log ratio_t + min(churn log(ratio_t / ratio_s), log sqrt(2))

    so that `churn` is the share of each step that is taken back, whatever the number of steps; Karras et al. 2022
    raise by log(1 + S_churn / N), which with their grid is churn = S_churn / 10.6. Nothing happens at log-SNR outside
    the interval, or where no signal is left to be lost.
    """
    log_snr_t, log_snr_s = schedule.log_snr(t), schedule.log_snr(s)
    rise = torch.clamp(churn * (log_snr_s - log_snr_t), max=torch.log(torch.tensor(2.0, dtype=torch.float64)))
    inside = (interval[0] <= log_snr_t) & (log_snr_t <= interval[1]) & log_snr_t.isfinite()
    higher = torch.minimum(schedule.time(log_snr_t - torch.where(inside, rise, 0)), top)
    if not churn or higher <= t:
        return x_t, t
    return Gaussian(schedule).renoise(x_t, t, higher, noise.draw(x_t)), higher


EVERYWHERE = (-inf, inf)
