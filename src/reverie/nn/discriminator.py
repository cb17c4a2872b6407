"""A network that tells real pictures from made ones, patch by patch."""

from collections.abc import Sequence

from torch import Tensor, nn

from .convolutions import Convolution
from .norms import Norm


class Discriminator(nn.Module):
    """x (B, channels, *axes) to a number for every patch, (B, 1, *axes at a 2^len(levels)-th): the higher, the more real.

    Convolutions that halve the resolution, then one that judges. Isola et al. 2017, https://arxiv.org/abs/1611.07004
    """

    def __init__(
        self, spatial: int = 2, channels: int = 3, levels: Sequence[int] = (32, 64, 128), groups: int = 8
    ) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[spatial - 1]
        widths = [channels, *levels]
        self.down = nn.ModuleList(conv(a, b, 4, stride=2, padding=1) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(Norm(b, groups) for b in levels)
        self.head = Convolution(spatial, levels[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.down, self.norms):
            x = norm(conv(x), activate=True)
        return self.head(x)
