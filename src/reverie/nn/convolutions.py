"""The convolution of every number of axes."""

import torch.nn.functional as F
from torch import Tensor, nn

from . import winograd

LAYERS = nn.Conv1d, nn.Conv2d, nn.Conv3d
FUNCTIONS = F.conv1d, F.conv2d, F.conv3d


class Convolution(nn.Module):
    """A convolution over `spatial` axes, zeros around them: n positions become ceil(n / stride).

    Two detours change nothing but who pads. In PyTorch's CPU build (seen in 2.13, oneDNN 3.12) the bfloat16 gradient of
    a weight of size 3 is garbage, and memory is overwritten, where a stride meets an axis of length 1, or depth is 2.
    A third is for speed, `winograd`.
    """

    def __init__(self, spatial: int, inner: int, outer: int, size: int = 3, stride: int = 1) -> None:
        super().__init__()
        layer = LAYERS[spatial - 1](inner, outer, size)
        assert layer.bias is not None
        self.weight, self.bias, self.size, self.stride = layer.weight, layer.bias, size, stride

    def forward(self, h: Tensor, padded: bool = False) -> Tensor:
        """h (B, inner, *axes) -> (B, outer, *axes); `padded` where the zeros that it needs are there already."""
        if self.stride == 1 and not padded and winograd.helps(h, self.weight, self.bias):
            return winograd.convolved(h, self.weight, self.bias)
        stride = [self.stride if n > 1 else 1 for n in h.shape[2:]]
        padding = [0 if padded else self.size // 2] * len(stride)
        if not padded and h.ndim == 5 and h.shape[2] == 2 and self.size == 3:
            h, padding[0] = F.pad(h, (0, 0, 0, 0, 1, 1)), 0
        return FUNCTIONS[h.ndim - 3](h, self.weight, self.bias, stride, padding)
