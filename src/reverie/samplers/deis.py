"""DEIS."""

from dataclasses import dataclass

from .base import Sampler, pure_noise
from .exponential import POINTS, SHARES, lagrange
from .forms import require
from .history import corrected_by_latest, ddim, guess

CLOCKS = {
    "time": lambda schedule, ratio: schedule.time(-2 * ratio.log()),
    "log_snr": lambda schedule, ratio: -2 * ratio.log(),
}


@dataclass(frozen=True)
class DEIS(Sampler):
    """Extrapolates eps as a polynomial in time through `order` guesses and integrates it against the noise (tAB-DEIS).

        x_s / alpha_s = x_t / alpha_t + sum_i eps_i int L_i(t(rho)) drho,    rho = sigma / alpha,  from rho_t to rho_s

    The coefficients are quadratures in float64, which do not cancel in long runs. `over` = "log_snr" interpolates in
    log-SNR, as diffusers does. Starts with lower orders, so that order 3 and more converge as order 2. Regular at the
    data; the step from alpha = 0 is DDIM's, and the guess made there is left out. So are the oldest where the grid is
    rough on that clock, as even steps in log-SNR are in time on Laplace's schedule: there `log_snr` is the better.
    Zhang & Chen 2022, https://arxiv.org/abs/2204.13902
    """

    order: int = 3
    over: str = "time"

    def __post_init__(self):
        require(order=(self.order, range(1, 5)), over=(self.over, CLOCKS))

    @classmethod
    def variants(cls):
        return cls(3), cls(4), cls(2, "log_snr")

    def init(self):
        return ()

    def weights(self, schedule, times, s):
        """(n,) on the x_hat, none, and (n,) on the eps guessed at some times (n,), for the step from the first to s."""
        clock = lambda ratio: CLOCKS[self.over](schedule, ratio)
        (alpha, sigma), (alpha_s, sigma_s) = schedule(times), schedule(s)
        rho, rho_s = sigma / alpha, sigma_s / alpha_s
        at = clock(rho[0] + (rho_s - rho[0]) * POINTS)
        on_eps = alpha_s * (rho_s - rho[0]) * lagrange(clock(rho), at) @ SHARES
        return 0 * on_eps, on_eps

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule = denoiser.schedule
        past = (guess(denoiser, x_t, t), *memory)[: self.order]
        base = ddim(schedule, past[0], s)
        x_s = corrected_by_latest(base, past, lambda times: self.weights(schedule, times, s))
        return x_s, () if pure_noise(schedule, t) else past[: self.order - 1]
