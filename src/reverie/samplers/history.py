"""What a multistep method remembers, and the one shape that all its steps have: DDIM's, corrected by old guesses."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import Schedule, onto


class Guess(NamedTuple):
    """What the denoiser said at a time of the way; x_hat and eps (B, *)."""

    t: Tensor
    x_hat: Tensor
    eps: Tensor


def guess(denoiser: Denoiser, x_t: Tensor, t: Tensor) -> Guess:
    estimate = denoiser(x_t, t)
    return Guess(t, estimate.x_hat, estimate.eps(x_t, *denoiser.schedule(t)))


def ddim(schedule: Schedule, now: Guess, s: Tensor) -> Tensor:
    """alpha_s x_hat + sigma_s eps: where the flow goes if the guess stays what it is, at both ends too."""
    alpha_s, sigma_s = onto(now.x_hat, *schedule(s))
    return alpha_s * now.x_hat + sigma_s * now.eps


def corrected(x_s: Tensor, past: Sequence[Guess], on_x_hat: Iterable[Tensor], on_eps: Iterable[Tensor]) -> Tensor:
    """x_s + sum_i a_i (x_hat_i - x_hat_0) + b_i (eps_i - eps_0), of the past guesses, the latest of them number 0."""
    for a, b, old in zip(on_x_hat, on_eps, past):
        if old is not past[0]:
            a, b = onto(x_s, a, b)
            x_s = x_s + a * (old.x_hat - past[0].x_hat) + b * (old.eps - past[0].eps)
    return x_s


def corrected_by_latest(
    x_s: Tensor,
    past: Sequence[Guess],
    weights: Callable[[Tensor], tuple[Tensor, Tensor]],
    most: Callable[[int], float] = lambda n: 3 * 2 ** (n - 1),
) -> Tensor:
    """The same with the weights of the guesses' times (n,), the oldest left out while the weights' sizes add up to more than
    `most` times their sum: rounding, and what the polynomial misses, would be multiplied by it.

    On even steps Adams and Bashforth's reach 2, 3.7 and 6.7 for n = 2, 3, 4, on alternating ones of ratio 3.3 they reach
    4.3, 7.7 and 16; where each step is several times the last they have no bound.
    """
    while len(past) > 1:
        found = weights(torch.stack([old.t for old in past]))
        if all(w.abs().sum() <= most(len(past)) * w.sum().abs() for w in found):
            return corrected(x_s, past, *found)
        past = past[:-1]
    return x_s
