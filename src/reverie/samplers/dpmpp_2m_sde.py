"""SDE-DPM-Solver++(2M)."""

from dataclasses import dataclass

from ..core.schedules import onto
from .base import Sampler
from .renewal import remaining, renewed, share


@dataclass(frozen=True)
class DPMpp2MSDE(Sampler):
    """SDE-DPM-Solver++ of first order, and the change of the guess over the last step:

        x_s = alpha_s x_hat + sigma_s (k eps_hat + sqrt(1 - k^2) z)
            + alpha_s (1 - e^(-(1 + eta^2) h)) h / (2 h_last) (x_hat - x_hat_last),    k = e^(-eta^2 h)

    h is the step in log(alpha / sigma); eta = 0 is DPM-Solver++(2M), and k-diffusion's eta is the square of this one.
    The order is 1 along a Brownian path, whose turns between two times no guess knows, and 2 for mean and spread
    (tested). The first step and the last are of first order, and regular; so is the second after alpha = 0, where
    h_last is infinite. Lu et al. 2022, https://arxiv.org/abs/2211.01095
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

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, estimate = denoiser.schedule, denoiser(x_t, t)
        x_s, std = renewed(schedule, estimate, x_t, t, s, remaining(schedule, t, s, self.eta))
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        if memory and s > 0:
            x_hat_last, h_last = memory
            change = 1 - remaining(schedule, t, s, (1 + self.eta**2) ** 0.5)
            (c,) = onto(x_t, schedule(s)[0] * change * h / (2 * h_last))
            x_s = x_s + c * (estimate.x_hat - x_hat_last)
        return x_s + std * noise.draw(x_t, t, s) if self.eta else x_s, (estimate.x_hat, h)
