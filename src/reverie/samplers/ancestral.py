"""Ancestral steps: a deterministic step goes past s, to a time with less noise, and the difference is drawn."""

from torch import Tensor

from ..core.schedules import Schedule


def split(schedule: Schedule, t: Tensor, s: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """(down, up), sigma_s^2 = down^2 + up^2, float64: what a step t -> s keeps of the noise, and what it draws.

    up = eta sigma_s sqrt(1 - snr_t / snr_s): eta = 1 is the deviation of q(x_s | x_t, x), eta = 0 draws nothing.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    up = eta * sigma_s * (1 - (alpha_t / alpha_s * sigma_s / sigma_t) ** 2).clamp(min=0).sqrt()
    return (sigma_s**2 - up**2).clamp(min=0).sqrt(), up
