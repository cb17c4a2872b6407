"""Several conditions at once."""

from collections.abc import Sequence

from torch import nn

from ..core.denoisers import Denoiser
from .base import Contrast, moved


class Composed(Contrast):
    """One condition and others beside it, each with a weight; a negative one is to be kept away from.

        x_hat = weak + scale (strong - weak) + sum_i weights_i (others_i - weak)

    The score of p(x) p(y | x)^scale prod_i p(y_i | x)^weights_i. All conditions of one network are
    asked in one call. Liu et al. 2022, https://arxiv.org/abs/2206.01714
    """

    space = "x"
    neutral = {"scale": 1.0, "weights": (0.0,)}  # noqa: RUF012

    def __init__(
        self, strong: Denoiser, weak: Denoiser, others: Sequence[Denoiser], weights: tuple[float, ...] = (1.0,),
        scale: float = 1.0,
    ) -> None:  # fmt: skip
        """One weight for each of `others`, or one for all. Raises ValueError for another number of them."""
        super().__init__(strong, weak)
        if len(weights) not in (1, len(others)):
            raise ValueError(f"{len(others)} other conditions have {len(weights)} weights")
        self.others, self.scale = nn.ModuleList(others), scale
        self.weights = tuple(weights) * len(others) if len(weights) == 1 else tuple(weights)

    @classmethod
    def variants(cls, strong, weak):
        return (cls(strong, weak, (strong, weak), weights=(-0.5, 1.0), scale=2.0),)

    @property
    def parts(self):
        return self.strong, self.weak, *self.others

    def still(self, t):
        return super().still(t) | (self.scale == 1 and not any(self.weights))

    def guess(self, found, x_t, t, on):
        strong, weak, *others = found
        x_hat = weak.x_hat.lerp(strong.x_hat, self.scale)
        for weight, other in zip(self.weights, others):
            x_hat = x_hat + weight * (other.x_hat - weak.x_hat)
        return moved(strong, x_hat, x_t, t, self.schedule)
