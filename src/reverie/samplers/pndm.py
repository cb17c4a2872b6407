"""PNDM."""

from dataclasses import dataclass

from .base import Cost, Sampler, pure_noise
from .history import guess
from .pseudo import multistep, runge_kutta_average, transfer


@dataclass(frozen=True)
class PNDM(Sampler):
    """A pseudo linear multistep method on the noise of four guesses, started by three pseudo Runge-Kutta steps.

        eps' = (55 eps_0 - 59 eps_1 + 37 eps_2 - 9 eps_3) / 24 on even steps,    x_s by DDIM with eps'

    On others the weights are Adams-Bashforth's for their lengths. A start from alpha = 0 is DDIM's step, and so is one
    to the data. Liu et al. 2022, https://arxiv.org/abs/2202.09778, algorithm 2
    """

    order = 2

    @property
    def evaluations(self):
        return Cost(first=(4, 4, 4), from_noise=1, to_data=1)

    def init(self):
        return ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, now = denoiser.schedule, guess(denoiser, x_t, t)
        past = (now, *memory)
        if len(past) == 4 or s == 0 or pure_noise(schedule, t):
            return multistep(schedule, past, s), past[:3]
        return transfer(schedule, now, runge_kutta_average(denoiser, now, s), s), past
