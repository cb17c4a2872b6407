"""Likelihoods of Gaussians, exact and over bins, in nats; and the bits that data of levels take."""

import math

import torch
from torch import Tensor

from .noise import Noise


def gaussian_kl(mean: Tensor, log_std: Tensor, other_mean: Tensor, other_log_std: Tensor) -> Tensor:
    """KL(N(mean, std^2) || N(other_mean, other_std^2)), entry by entry; all broadcast."""
    ratio = 2 * (log_std - other_log_std)
    return (ratio.exp() - 1 - ratio + ((mean - other_mean) / other_log_std.exp()) ** 2) / 2


def quantized_log_likelihood(x: Tensor, mean: Tensor, log_std: Tensor, width: float | None) -> Tensor:
    """log of the mass that N(mean, std^2) gives to the bin of that width around x, entry by entry.

    The outermost bins of [-1, 1] reach to infinity, as 8-bit pictures need. A width of None: the density itself.
    """
    std = log_std.exp()
    if width is None:
        return -(((x - mean) / std) ** 2) / 2 - log_std - torch.log(torch.tensor(2 * torch.pi)) / 2
    far = 1e4  # deviations: beyond every finite tail, and its logarithm is finite still
    above, below = (x - mean + width / 2) / std, (x - mean - width / 2) / std
    above = torch.where(x > 1 - width / 2, far, above)
    below = torch.where(x < -1 + width / 2, -far, below)
    upper_half = below + above > 0  # of the two tails, the smaller can be told from zero
    high, low = torch.where(upper_half, -below, above), torch.where(upper_half, -above, below)
    log_high, log_low = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    gap = (log_low - log_high).clamp(min=-80, max=-torch.finfo(x.dtype).tiny)
    return log_high + torch.log(-torch.expm1(gap))


def dequantised(x: Tensor, width: float, noise: Noise) -> Tensor:
    """x + width (u - 1/2), u uniform on (0, 1) from each sample's stream: levels that lie `width` apart, filled evenly.

    Theis et al. 2015, https://arxiv.org/abs/1511.01844, section 3.1
    """
    return x + width * (noise.uniform(x) - 0.5).to(x)


def bits_per_dimension(nats: Tensor, dim: Tensor | int, width: float) -> Tensor:
    """The bits a dimension that levels `width` apart take, from nats, the log-density in model units of `dequantised` x.

    A level k is the cell of side `width` about x_k, and the model gives it the mass P(k), the integral of p over it.
    By Jensen's inequality, with x = x_k + width (u - 1/2),

        log P(k) = log(width^D E_u[p(x)]) >= E_u[log p(x)] + D log width
        bits / D = -log P(k) / (D log 2) <= -(nats / D + log width) / log 2,    nats = E_u[log p(x)]

    so it is an upper bound, of which one draw of u is an unbiased estimate. Pixels of 256 levels in [-1, 1] are 2/255
    apart, which adds log2(127.5) = 6.994 bits. A width of 1 leaves the density itself, in bits.
    """
    return -(nats / dim + math.log(width)) / math.log(2)
