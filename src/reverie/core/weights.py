"""Loss weights: what the squared error of x_hat counts at a noise level.

An error of x_hat by d is one of eps by d alpha / sigma, of velocity by d (alpha^2 + sigma^2) / sigma, of eps - x by
d (alpha + sigma) / sigma; so each weight below is some quantity's mean squared error, or bends one.
"""

import abc
from dataclasses import dataclass

from torch import Tensor


class Weight(abc.ABC):
    @abc.abstractmethod
    def __call__(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Of the noise level, float64; sigma > 0."""


@dataclass(frozen=True)
class Simple(Weight):
    """The squared error of eps: snr. Ho et al. 2020, https://arxiv.org/abs/2006.11239"""

    def __call__(self, alpha, sigma):
        return (alpha / sigma) ** 2


@dataclass(frozen=True)
class Clean(Weight):
    """The squared error of x itself."""

    def __call__(self, alpha, sigma):
        return 1 + 0 * alpha


@dataclass(frozen=True)
class Velocity(Weight):
    """The squared error of alpha eps - sigma x. Salimans & Ho 2022, https://arxiv.org/abs/2202.00512"""

    def __call__(self, alpha, sigma):
        return ((alpha**2 + sigma**2) / sigma) ** 2


@dataclass(frozen=True)
class Flow(Weight):
    """The squared error of eps - x. Lipman et al. 2022, https://arxiv.org/abs/2210.02747"""

    def __call__(self, alpha, sigma):
        return ((alpha + sigma) / sigma) ** 2


@dataclass(frozen=True)
class Karras(Weight):
    """1 / c_out^2: unit loss at every noise level for a network that knows nothing.

    Karras et al. 2022, https://arxiv.org/abs/2206.00364
    """

    std_data: float = 1.0

    def __call__(self, alpha, sigma):
        return (alpha / sigma) ** 2 + 1 / self.std_data**2


@dataclass(frozen=True)
class MinSNR(Weight):
    """min(snr, gamma): the squared error of eps, but never more than gamma times that of x.

    Hang et al. 2023, https://arxiv.org/abs/2303.09556
    """

    gamma: float = 5.0

    def __call__(self, alpha, sigma):
        return ((alpha / sigma) ** 2).clamp(max=self.gamma)


@dataclass(frozen=True)
class SoftMinSNR(Weight):
    """snr gamma / (snr + gamma): the same without the corner. Crowson et al. 2024, https://arxiv.org/abs/2401.11605"""

    gamma: float = 4.0

    def __call__(self, alpha, sigma):
        return 1 / ((sigma / alpha) ** 2 + 1 / self.gamma)


@dataclass(frozen=True)
class P2(Weight):
    """snr / (k + snr)^gamma: less of what is nearly clean. Choi et al. 2022, https://arxiv.org/abs/2204.00227"""

    k: float = 1.0
    gamma: float = 1.0

    def __call__(self, alpha, sigma):
        snr = (alpha / sigma) ** 2
        return snr / (self.k + snr) ** self.gamma


@dataclass(frozen=True)
class Sigmoid(Weight):
    """snr S(bias - log snr), with S the logistic function; on eps it is S alone.

    Kingma & Gao 2023, https://arxiv.org/abs/2303.00848; Hoogeboom et al. 2024, https://arxiv.org/abs/2410.19324
    """

    bias: float = 2.0

    def __call__(self, alpha, sigma):
        return 1 / ((sigma / alpha) ** 2 + 2.718281828459045**-self.bias)
