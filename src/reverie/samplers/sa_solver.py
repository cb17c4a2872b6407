"""SA-Solver, the stochastic Adams method."""

from dataclasses import dataclass

import torch

from ..core.denoisers import Estimate
from ..core.schedules import onto
from .base import Sampler
from .churn import EVERYWHERE
from .forms import OnXHat
from .history import guess
from .renewal import remaining, renewed, share, weights_on_x_hat


@dataclass(frozen=True)
class SASolver(Sampler):
    """Adams-Bashforth, then Adams-Moulton with the same noise, on x_hat in the reverse SDE of diffusion tau g:

        x_s = alpha_s x_hat + sigma_s (k eps_hat + sqrt(1 - k^2) z) + alpha_s sum_i w_i (x_hat_i - x_hat)
        w_i = (1 + tau^2) int e^((1 + tau^2) (lambda - lambda_s)) L_i(lambda) dlambda,    k = e^(-tau^2 h)

    with lambda = log(alpha / sigma). The `predictor` puts a polynomial through that many guesses of the past; when the
    guess at s is known, one evaluation a step, the `corrector` makes the step again with a polynomial through that one
    and the last (0: never). The function tau is a constant at log-SNR inside the interval and 0 outside, as of t.
    Along a Brownian path the order is 1; with tau = 0 it is min(predictor + 1, corrector), or that of the predictor alone.
    Begins with the lower orders. A guess at alpha = 0 is left out; x_0 = x_hat, extrapolated where tau = 0.
    Xue et al. 2023, https://arxiv.org/abs/2309.05019
    """

    predictor: int = 3
    corrector: int = 4
    tau: float = 1.0
    interval: tuple[float, float] = EVERYWHERE

    @classmethod
    def variants(cls):
        return cls(), cls(2, 0)

    def __post_init__(self):
        share("tau", self.tau)
        if self.predictor not in (1, 2, 3, 4) or self.corrector not in (0, 1, 2, 3, 4):
            raise ValueError(
                f"SASolver takes a predictor of order 1 to 4 and a corrector of order 0 to 4, not {self.predictor} and "
                f"{self.corrector}"
            )

    @property
    def order(self):
        if self.stochastic:
            return 1
        return min(self.predictor + 1, self.corrector) if self.corrector else self.predictor

    @property
    def stochastic(self):
        return self.tau > 0

    def init(self):
        return None, 0.0, ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now, (base, tau, past) = denoiser.schedule, guess(denoiser, x_t, t), memory
        last, past = past[:1], (now, *OnXHat().usable(schedule, past))
        if self.corrector and len(past) > 1:
            again = _added(schedule, base, past[: self.corrector], last[0], t, tau)
            now = now._replace(eps=now.eps + (again - x_t) / onto(x_t, schedule(t)[1])[0])
        tau = self.tau if self.interval[0] <= schedule.log_snr(t) <= self.interval[1] else 0.0
        base, std = renewed(schedule, Estimate(now.x_hat, now.eps), x_t, t, s, remaining(schedule, t, s, tau))
        base = base + std * noise.draw(x_t, t, s) if tau else base
        x_s = _added(schedule, base, past[: self.predictor], now, s, tau) if len(past) > 1 else base
        return x_s, (base, tau, past[:3])


def _added(schedule, base, past, start, s, tau):
    """base + sum_i w_i (x_hat_i - x_hat), of the polynomial through the guesses of `past` and the step from `start` to s."""
    w = weights_on_x_hat(schedule, torch.stack([old.t for old in past]), start.t, s, tau)
    for w_i, old in zip(onto(base, *w), past):
        base = base + w_i * (old.x_hat - start.x_hat)
    return base
