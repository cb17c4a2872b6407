"""DPM-Solver-2, ancestral."""

from dataclasses import dataclass

from ..core.schedules import onto
from .ancestral import split
from .base import Cost, Sampler
from .renewal import share


@dataclass(frozen=True)
class DPM2Ancestral(Sampler):
    """Goes past s by the midpoint method for d(x / alpha) = eps d(sigma / alpha), to the noise `down`, and noises back:

        x_s = alpha_s x_hat_t + down eps_t + (down - alpha_s / alpha_t sigma_t) (eps_m - eps_t) + up z
        x_m = alpha_m x_hat_t + sigma_m eps_t,    sigma_s^2 = down^2 + up^2,    up = eta sigma_s sqrt(1 - snr_t / snr_s)

    m is the middle by log-SNR. The flow and the noising both keep the marginals, so mean and spread are of second
    order (tested); along a Brownian path the order is 1, or 2 where eta = 0. A step from alpha_t = 0, or to no noise,
    is Euler's and regular.
    Karras et al. 2022, https://arxiv.org/abs/2206.00364; Crowson 2022, https://github.com/crowsonkb/k-diffusion
    """

    eta: float = 1.0

    def __post_init__(self):
        share("eta", self.eta, most=1)

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
        schedule = denoiser.schedule
        (alpha_t, sigma_t), (alpha_s, _) = schedule(t), schedule(s)
        down, up = split(schedule, t, s, self.eta)
        guess_t = denoiser(x_t, t)
        eps_t = guess_t.eps(x_t, alpha_t, sigma_t)
        a, b, std = onto(x_t, alpha_s, down, up)
        x_s = a * guess_t.x_hat + b * eps_t
        if alpha_t > 0 and down > 0:
            m = schedule.time(schedule.log_snr(t) / 2 + alpha_s.log() - down.log())
            a, b, c = onto(x_t, *schedule(m), down - alpha_s / alpha_t * sigma_t)
            x_m = a * guess_t.x_hat + b * eps_t
            x_s = x_s + c * (denoiser(x_m, m).eps(x_m, *schedule(m)) - eps_t)
        return x_s + std * noise.draw(x_t, t, s) if self.eta else x_s, memory
