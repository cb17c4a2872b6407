"""ER-SDE solvers."""

from dataclasses import dataclass
from math import log

import torch

from ..core.schedules import onto
from .base import Sampler
from .exponential import POINTS, SHARES, lagrange
from .renewal import renewed, share


@dataclass(frozen=True)
class ERSDE(Sampler):
    """The extended reverse SDE of noise scale phi, solved exactly for a polynomial through the last `order` guesses:

        x_s = alpha_s x_hat + sigma_s (k eps_hat + sqrt(1 - k^2) z) + alpha_s sum_i w_i (x_hat_i - x_hat)
        w_i = phi(q_s) int L_i(q) d(1 / phi(q)),    k = psi(q_s) / psi(q_t),    phi = q psi,  q = sigma / alpha

    psi(q) = (e^(q^0.3) + 10)^eta is the paper's fifth at eta = 1 and the probability-flow ODE at eta = 0, where `degree`
    is the order. The published third order takes a backward difference for the slope and is of second; here the
    parabola is whole (tested). With eta > 0 the order along a Brownian path is 1. Begins with the lower orders; the
    step to the data, s = 0, is x_hat, and a guess made at alpha = 0, whence k = 0, is not remembered.
    Cui et al. 2023, https://arxiv.org/abs/2309.06169
    """

    degree: int = 3
    eta: float = 1.0

    @classmethod
    def variants(cls):
        return cls(1), cls(2), cls(3), cls(3, eta=0.0)

    def __post_init__(self):
        share("eta", self.eta)
        if self.degree not in (1, 2, 3):
            raise ValueError(f"the degree of ERSDE is 1, 2 or 3, not {self.degree}")

    @property
    def order(self):
        return 1 if self.eta else self.degree

    @property
    def stochastic(self):
        return self.eta > 0

    def init(self):
        return ()

    def transition(self, schedule, estimate, x_t, t, s):
        """Mean and standard deviation of x_s for degree 1. Raises ValueError for the others, which need their past."""
        if self.degree > 1:
            raise ValueError(f"a step of {self} depends on those before: take ERSDE(degree=1)")
        return renewed(schedule, estimate, x_t, t, s, self._kept(schedule, t, s))

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, estimate = denoiser.schedule, denoiser(x_t, t)
        x_s, std = renewed(schedule, estimate, x_t, t, s, self._kept(schedule, t, s))
        log_q = schedule.log_snr(t) / -2
        past = ((log_q, estimate.x_hat), *memory)[: self.degree] if log_q.isfinite() else ()
        if s > 0 and len(past) > 1:
            w = schedule(s)[0] * self._weights(torch.stack([at for at, _ in past]), schedule.log_snr(s) / -2)
            for w_i, (_, x_hat) in zip(onto(x_t, *w[1:]), past[1:]):
                x_s = x_s + w_i * (x_hat - estimate.x_hat)
        return x_s + std * noise.draw(x_t, t, s) if self.eta else x_s, past

    def _log_psi(self, log_q):
        return self.eta * torch.logaddexp((0.3 * log_q).exp(), torch.tensor(log(10), dtype=torch.float64))

    def _kept(self, schedule, t, s):
        if self.eta == 0:
            return torch.ones((), dtype=torch.float64)
        return (self._log_psi(schedule.log_snr(s) / -2) - self._log_psi(schedule.log_snr(t) / -2)).exp()

    def _weights(self, log_q, log_q_s):
        """By quadrature in log q, where d(1 / phi) = -(1 + d log psi / d log q) / phi dlog q."""
        at = log_q_s + (log_q[0] - log_q_s) * POINTS
        power = (0.3 * at).exp()
        slope = 1 + self.eta * 0.3 * power * (power - log(10)).sigmoid()
        ratio = (log_q_s - at + self._log_psi(log_q_s) - self._log_psi(at)).exp()
        return (log_q[0] - log_q_s) * (lagrange(log_q.exp(), at.exp()) * ratio * slope) @ SHARES
