"""Predictor and corrector."""

from dataclasses import dataclass

import torch

from ..core.schedules import onto
from .base import Cost, Sampler
from .renewal import share
from .reverse_diffusion import ReverseDiffusion


@dataclass(frozen=True)
class PredictorCorrector(Sampler):
    """A step of another sampler, then Langevin dynamics at the noise of s, whose step the signal-to-noise ratio chooses:

        x <- x - step sigma_s eps_hat + sqrt(2 step) sigma_s z,    step = 2 (snr |z| / |eps_hat|)^2,    `corrections` times

    `norms` takes those of that very draw and guess, each sample's own and never the batch's, and no step above 1; without
    it |z| = |eps_hat|, as both are on average where noise prevails: as good for large samples, and better for small ones,
    whose norms vary. The paper's factor alpha_s / alpha_t is left out, and x_0 is not corrected.
    The predictor's noise follows a Brownian path and the corrector's is free, so `order` is that of mean and spread.
    Song et al. 2020, https://arxiv.org/abs/2011.13456, algorithms 2 and 4
    """

    predictor: Sampler = ReverseDiffusion()
    snr: float = 0.16
    corrections: int = 1
    norms: bool = False
    order = 1
    stochastic = True
    weak = True

    def __post_init__(self):
        share("snr", self.snr, most=0.7)
        if self.corrections < 0:
            raise ValueError(f"corrections must be 0 or more, not {self.corrections}")

    def init(self):
        return self.predictor.init()

    @property
    def evaluations(self):
        cost = self.predictor.evaluations
        if cost is None:
            return None
        first = tuple(n + self.corrections for n in cost.first)
        from_noise = None if cost.from_noise is None else cost.from_noise + self.corrections
        to_data = cost.step if cost.to_data is None else cost.to_data
        return Cost(cost.step + self.corrections, first, from_noise, to_data)

    def step(self, denoiser, x_t, t, s, memory, noise):
        x_s, memory = self.predictor.step(denoiser, x_t, t, s, memory, noise)
        alpha_s, sigma_s = denoiser.schedule(s)
        (sigma,), rest = onto(x_t, sigma_s), tuple(range(1, x_t.ndim))
        for _ in range(self.corrections if s > 0 else 0):
            eps, z = denoiser(x_s, s).eps(x_s, alpha_s, sigma_s), noise.draw(x_s)
            ratio = (z.square().mean(rest, True) / eps.square().mean(rest, True)).nan_to_num(1) if self.norms else 1
            step = (2 * self.snr**2 * ratio * torch.ones_like(sigma)).clamp(max=1)
            x_s = x_s + sigma * ((2 * step).sqrt() * z - step * eps)
        return x_s, memory
