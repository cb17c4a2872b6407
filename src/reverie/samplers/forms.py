"""Three forms of one flow: which guess is interpolated between the times where it was asked for, and against what clock.

Every form gives weights (a_i, b_i) of the guesses at some times, so that a step from t to s is DDIM's and

    sum_i a_i (x_hat_i - x_hat) + b_i (eps_i - eps)
"""

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, log

import torch
from torch import Tensor

from ..core.schedules import Schedule
from .base import pure_noise
from .exponential import exponential_weights, integrals, lagrange
from .history import Guess, corrected_by_latest


class Form(abc.ABC):
    regular = False
    """Whether a guess in `pure_noise` can be interpolated."""

    longest = log(100.0)
    """In lambda: of a step that the guess at its end corrects; that guess's noise holds the rounding of x over sigma."""

    @abc.abstractmethod
    def weights(self, schedule: Schedule, times: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) on the x_hat and (n,) on the eps guessed at some times (n,), for the step from t to s, both `()`."""

    def usable(self, schedule: Schedule, past: Iterable[Guess]) -> tuple[Guess, ...]:
        return tuple(old for old in past if self.regular or not pure_noise(schedule, old.t))

    def correct(self, schedule: Schedule, base: Tensor, past: tuple[Guess, ...], t: Tensor, s: Tensor) -> Tensor:
        """x_s of the step from t, its DDIM step `base` corrected by old guesses; past[0] is the one at t.

        Alternating steps of ratio 3.3 have weights whose sizes reach 9 times their sum for order 3, 21 for 4.
        """
        return corrected_by_latest(base, past, lambda times: self.weights(schedule, times, t, s), lambda n: 25)

    @abc.abstractmethod
    def carry(self, schedule: Schedule, t: Tensor, s: Tensor) -> Tensor:
        """What becomes at s of a change of x_t where the guess stays."""


@dataclass(frozen=True)
class OnXHat(Form):
    """d(x / sigma) = x_hat d(alpha / sigma), x_hat a polynomial in lambda = log(alpha / sigma).

    To s = 0 that integral diverges; there x_hat, a smooth function of (sigma / alpha)^2, is extrapolated to 0.
    """

    longest = inf

    def weights(self, schedule, times, t, s):
        (alpha, sigma), (alpha_s, _) = schedule(times), schedule(s)
        if s == 0:
            on_x_hat = lagrange((sigma / alpha) ** 2, torch.zeros((), dtype=torch.float64))
        else:
            on_x_hat = exponential_weights(*(schedule.log_snr(c) / 2 for c in (times, t, s)))
        return alpha_s * on_x_hat, 0 * on_x_hat

    def carry(self, schedule, t, s):
        return schedule(s)[1] / schedule(t)[1]


@dataclass(frozen=True)
class OnNoise(Form):
    """d(x / alpha) = eps d(sigma / alpha), eps a polynomial in sigma / alpha."""

    def weights(self, schedule, times, t, s):
        clock, start, stop = (sigma / alpha for alpha, sigma in map(schedule, (times, t, s)))
        on_eps = schedule(s)[0] * integrals(clock, start, stop, torch.ones_like)
        return 0 * on_eps, on_eps

    def carry(self, schedule, t, s):
        return schedule(s)[0] / schedule(t)[0]


@dataclass(frozen=True)
class OnVelocity(Form):
    """d(x / r) = x_hat / scale dcos(a) + eps dsin(a), both polynomials in a: (scale alpha, sigma) = r (cos(a), sin(a)).

    Regular at both ends. On normal data of the deviation `scale` both are sines of a.
    """

    scale: float = 1.0
    regular = True

    def polar(self, schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule(t)
        return torch.hypot(self.scale * alpha, sigma), torch.atan2(sigma, self.scale * alpha)

    def weights(self, schedule, times, t, s):
        (_, clock), (_, start), (r_s, stop) = (self.polar(schedule, c) for c in (times, t, s))
        on_x_hat = r_s / self.scale * integrals(clock, start, stop, lambda a: -a.sin())
        return on_x_hat, r_s * integrals(clock, start, stop, torch.cos)

    def carry(self, schedule, t, s):
        return self.polar(schedule, s)[0] / self.polar(schedule, t)[0]


FORMS: dict[str, Callable[[float], Form]] = {
    "x_hat": lambda scale: OnXHat(),
    "noise": lambda scale: OnNoise(),
    "velocity": OnVelocity,
}
STARTS = "lower", "runge_kutta"


def require(**options: tuple) -> None:
    """Raises ValueError, naming what is taken, unless each option is (its value, what it may be)."""
    for name, (value, known) in options.items():
        if value not in known:
            raise ValueError(f"{name}={value!r} is not known: take {', '.join(map(str, known))}")
