"""Multistep consistency sampling."""

from dataclasses import dataclass
from math import log1p

from ..core.processes import Gaussian
from .jumps import Jumps
from .renewal import share


@dataclass(frozen=True)
class Consistency(Jumps):
    """Jumps to a time d with less noise than s, and noises back:

        x_d = F(x_t, t, d),    x_s = alpha_s / alpha_d x_d + sqrt(sigma_s^2 - (alpha_s / alpha_d sigma_d)^2) z
        sigma_d / alpha_d = sqrt(1 - gamma^2) sigma_s / alpha_s

    gamma = 1 jumps to the data each time, d = 0, which is all that a consistency model can; gamma = 0 jumps to s and
    draws nothing. A perfect map has the right marginals whatever gamma and the number of steps (tested). The last step
    is a jump to the data alone.
    Song et al. 2023, https://arxiv.org/abs/2303.01469, algorithm 1; Kim et al. 2023, https://arxiv.org/abs/2310.02279
    """

    gamma: float = 1.0

    @classmethod
    def variants(cls):
        return cls(), cls(gamma=0.5), cls(gamma=0.0)

    def __post_init__(self):
        share("gamma", self.gamma, most=1)

    @property
    def stochastic(self):
        return self.gamma > 0

    def step(self, flow_map, x_t, t, s, noise):
        if self.gamma == 0 or s == 0:
            x_s = flow_map(x_t, t, s)
            return x_s, x_s
        schedule, d = flow_map.schedule, 0 * s
        if self.gamma < 1:
            d = schedule.time(schedule.log_snr(s) - log1p(-(self.gamma**2)))
        x_d = flow_map(x_t, t, d)
        return Gaussian(schedule).renoise(x_d, d, s, noise.draw(x_t, t, s)), x_d
