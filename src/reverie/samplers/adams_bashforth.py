"""Adams-Bashforth methods, also called linear multistep."""

from dataclasses import dataclass
from math import inf

from .base import Cost, Sampler
from .forms import FORMS, STARTS, require
from .history import ddim, guess
from .runge_kutta import BY_ORDER, runge_kutta


@dataclass(frozen=True)
class AdamsBashforth(Sampler):
    """Integrates the polynomial through the last `order` guesses exactly: of x_hat, of the noise, or of both (velocity).

        x_s = alpha_s x_hat + sigma_s eps + sum_i a_i (x_hat_i - x_hat) + b_i (eps_i - eps)

    The weights are those of `forms`: on x_hat of an exponential integrator, on noise those of k-diffusion's LMS. While
    the past is short, orders are lower, so that order 3 and more converge as order 2 in the end (measured 2.9 and, for
    order 4, 1.9 to 3.5); or it starts with Runge-Kutta steps of order - 1, and keeps its order. The oldest guesses are
    left out where steps are too uneven. A guess in pure noise counts for velocity alone.
    Hochbruck & Ostermann 2010, https://doi.org/10.1017/S0962492910000048, section 2.5
    """

    order: int = 3
    on: str = "velocity"
    start: str = "lower"
    scale: float = 1.0
    """Of the data, for velocity: the polynomials are in atan(sigma / (scale alpha))."""

    def __post_init__(self):
        require(order=(self.order, range(1, 6)), on=(self.on, FORMS), start=(self.start, STARTS))
        if not 0 < self.scale < inf:
            raise ValueError(f"scale={self.scale!r} is no deviation of data: take a number above 0")

    @classmethod
    def variants(cls):
        return cls(3, "x_hat"), cls(2, "noise"), cls(2), cls(4), cls(3, start="runge_kutta")

    @property
    def evaluations(self):
        return Cost(first=(self.order - 1,) * (self.order - 1), to_data=1) if self.start == "runge_kutta" else Cost()

    def init(self):
        return ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        if self.start == "runge_kutta" and len(memory) < self.order - 1 and s > 0:
            x_s, _, now = runge_kutta(BY_ORDER[self.order - 1], denoiser, x_t, t, s)
            return x_s, (now, *memory)
        schedule, form = denoiser.schedule, FORMS[self.on](self.scale)
        now = guess(denoiser, x_t, t)
        past = (now, *form.usable(schedule, memory))[: self.order]
        x_s = form.correct(schedule, ddim(schedule, now, s), past, t, s)
        return x_s, (now, *memory)[: self.order - 1]
