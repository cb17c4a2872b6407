"""iPNDM."""

from dataclasses import dataclass

from .base import Sampler
from .forms import require
from .history import guess
from .pseudo import multistep


@dataclass(frozen=True)
class IPNDM(Sampler):
    """PNDM started by its own lower orders: DDIM with the Adams-Bashforth average in time of up to four noises.

        eps' = (3 eps_0 - eps_1) / 2,  (23 eps_0 - 16 eps_1 + 5 eps_2) / 12,  (55 ... - 9 eps_3) / 24  on even steps

    On others the weights are those of their lengths. The step from alpha = 0 is DDIM's.
    Zhang & Chen 2022, https://arxiv.org/abs/2204.13902, section 4
    """

    guesses: int = 4

    def __post_init__(self):
        require(guesses=(self.guesses, range(1, 5)))

    @property
    def order(self):
        return min(self.guesses, 2)

    def init(self):
        return ()

    def step(self, denoiser, x_t, t, s, memory, noise):
        past = (guess(denoiser, x_t, t), *memory)[: self.guesses]
        return multistep(denoiser.schedule, past, s), past[: self.guesses - 1]
