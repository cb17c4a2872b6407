"""PLMS."""

from dataclasses import dataclass

from .base import Cost, Sampler, pure_noise
from .history import guess
from .pseudo import multistep, transfer


@dataclass(frozen=True)
class PLMS(Sampler):
    """PNDM without its Runge-Kutta steps, as latent diffusion has it: a pseudo Heun step, then 2, 3 and 4 guesses.

        eps' = (eps_t + eps_s) / 2 in the first step, then Adams-Bashforth's average in time,    x_s by DDIM with eps'

    From alpha = 0 the first step is DDIM's, and so is one to the data. Liu et al. 2022, https://arxiv.org/abs/2202.09778;
    Rombach et al. 2021, https://arxiv.org/abs/2112.10752
    """

    order = 2

    @property
    def evaluations(self):
        return Cost(first=(2,), from_noise=1, to_data=1)

    def init(self):
        return ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        past = (now, *memory)
        if memory or s == 0 or pure_noise(schedule, t):
            return multistep(schedule, past, s), past[:3]
        eps = (now.eps + guess(denoiser, transfer(schedule, now, now.eps, s), s).eps) / 2
        return transfer(schedule, now, eps, s), past
