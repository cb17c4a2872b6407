"""SDE-DPM-Solver++ of one step with two guesses, k-diffusion's dpmpp_sde."""

from dataclasses import dataclass

from ..core.schedules import onto
from .base import Cost, Sampler
from .renewal import halfway, remaining, renewed, share


@dataclass(frozen=True)
class DPMppSDE(Sampler):
    """SDE-DPM-Solver++ of first order to the middle m of the step by log-SNR, and with the guess there to its end:

        x_m = alpha_m x_hat_t + sigma_m k_tm eps_t + n_m,    n_m = sigma_m sqrt(1 - k_tm^2) z_tm
        x_s = alpha_s x_hat_t + sigma_s k_ts eps_t + alpha_s (1 - e^(-(1 + eta^2) h)) (x_hat_m - x_hat_t) + n_s
        n_s = sigma_s / sigma_m k_ms n_m + sigma_s sqrt(1 - k_ms^2) z_ms,    k = e^(-eta^2 h)

    The noise of the first half is part of the step's, for the guess in the middle must know it: n_s has the deviation
    sigma_s sqrt(1 - k_ts^2), and mean and spread are of second order (tested); drawn apart they are of first. Along a
    Brownian path the order is 1. eta = 0 is DPM-Solver++(2S); k-diffusion's eta agrees at 0 and 1. A step from
    alpha_t = 0 or to sigma_s = 0, which has no middle, is of first order and regular.
    Lu et al. 2022, https://arxiv.org/abs/2211.01095; Crowson 2022, https://github.com/crowsonkb/k-diffusion
    """

    eta: float = 1.0

    def __post_init__(self):
        share("eta", self.eta)

    @property
    def order(self):
        return 1 if self.eta else 2

    @property
    def stochastic(self):
        return self.eta > 0

    @property
    def evaluations(self):
        return Cost(2, from_noise=1, to_data=1)

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, guess_t, eta = denoiser.schedule, denoiser(x_t, t), self.eta
        x_s, std_s = renewed(schedule, guess_t, x_t, t, s, remaining(schedule, t, s, eta))
        if schedule(t)[0] == 0 or s == 0:
            return x_s + std_s * noise.draw(x_t, t, s) if eta else x_s, memory
        m = halfway(schedule, t, s)
        x_m, std_m = renewed(schedule, guess_t, x_t, t, m, remaining(schedule, t, m, eta))
        n_m = std_m * noise.draw(x_t, t, m) if eta else 0 * x_m
        x_hat_m = denoiser(x_m + n_m, m).x_hat
        (alpha_s, sigma_s), sigma_m, k = schedule(s), schedule(m)[1], remaining(schedule, m, s, eta)
        change = alpha_s * (1 - remaining(schedule, t, s, (1 + eta**2) ** 0.5))
        change, carried, fresh = onto(x_t, change, sigma_s / sigma_m * k, sigma_s * (1 - k**2).clamp(min=0).sqrt())
        x_s = x_s + change * (x_hat_m - guess_t.x_hat) + carried * n_m
        return x_s + fresh * noise.draw(x_t, m, s) if eta else x_s, memory
