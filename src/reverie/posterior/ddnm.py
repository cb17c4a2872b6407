"""The denoising diffusion null-space model."""

from torch import Tensor

from ..core.denoisers import Denoiser
from ..guidance.base import moved
from .base import Posterior
from .operators.base import Operator


class DDNM(Posterior):
    """The guess with what is measured put in its place: what A does not see is the network's.

        x_hat <- x_hat + A^+ (y - A x_hat)

    No gradient, and no noise of the measurement: for that take the sampler `DDNMPlus`.
    Wang et al. 2022, https://arxiv.org/abs/2212.00490
    """

    needs = frozenset({"pseudo-inverse"})

    def __init__(self, denoiser: Denoiser, y: Tensor, operator: Operator) -> None:
        super().__init__(denoiser, y, operator, 0.0)

    def forward(self, x_t, t, **cond):
        estimate = self.denoiser(x_t, t, **cond)
        x_hat = estimate.x_hat + self.operator.pseudo_inverse(self.residual(estimate.x_hat))
        return moved(estimate, x_hat, x_t, t, self.schedule)
