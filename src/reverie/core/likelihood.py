"""Likelihoods of Gaussians, exact and over bins, in nats."""

import torch
from torch import Tensor


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
