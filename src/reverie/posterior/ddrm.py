"""Denoising diffusion restoration models."""

from dataclasses import dataclass

import torch

from ..samplers.base import Cost
from ..samplers.renewal import share
from .base import PosteriorSampler
from .operators.base import told


@dataclass(frozen=True, eq=False)
class DDRM(PosteriorSampler):
    """Each coordinate of V^T x goes its own way, by whether y sees it and whether y is noisier than x_s is to be.

        not seen:                        N(alpha_s c + sqrt(1 - eta^2) sigma_s eps, eta^2 sigma_s^2)
        alpha_s std_y / s_i > sigma_s:   N(alpha_s c + sqrt(1 - eta^2) sigma_s s_i / std_y (c(y) - c), eta^2 sigma_s^2)
        else:                            N(alpha_s (c + eta_y (c(y) - c)), sigma_s^2 - (alpha_s eta_y std_y / s_i)^2)

    with c those of x_hat, c(y) = V^T A^+ y and eps the noise that goes with the guess; `eta_y` is the paper's eta_b. Written
    for x_s itself where the paper divides by alpha_s. Kawar et al. 2022, https://arxiv.org/abs/2201.11793
    """

    eta: float = 0.85
    eta_y: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        share("eta", self.eta, 1)
        share("eta_y", self.eta_y, 1)

    @property
    def evaluations(self):
        return Cost()

    def step(self, denoiser, x_t, t, s, memory, noise):
        estimate = denoiser(x_t, t)
        spectrum, known = self.seen(x_t)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = denoiser.schedule(t), denoiser.schedule(s)
        c, z = spectrum.to(estimate.x_hat), spectrum.to(noise.draw(x_t, t, s))
        eps = spectrum.to(estimate.eps(x_t, alpha_t, sigma_t))
        std_y = torch.where(spectrum.s > 0, self.std_y / spectrum.s, 0)
        kept, left = (
            (1 - self.eta**2) ** 0.5 * sigma_s,
            (sigma_s**2 - (alpha_s * self.eta_y * std_y) ** 2).clamp(min=0).sqrt(),
        )
        a, kept, fresh, left, over = told(
            x_t, alpha_s, kept, self.eta * sigma_s, left, torch.where(std_y > 0, 1 / std_y, 0)
        )
        seen, noisy = ((part).to(x_t.device) for part in (spectrum.s > 0, alpha_s * std_y > sigma_s))
        unseen = a * c + kept * eps + fresh * z
        late = a * c + kept * over * (known - c) + fresh * z
        early = a * c.lerp(known, self.eta_y) + left * z
        return spectrum.back(torch.where(seen, torch.where(noisy, late, early), unseen)), memory
