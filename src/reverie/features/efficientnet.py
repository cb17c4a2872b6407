"""EfficientNet-Lite0, trained on ImageNet, as features of pictures in colour."""

import math
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ReverieError
from ..files import fill
from .base import Extractor, cached, read_weights, signed

STAGES = (  # kernel, stride, expansion, channels, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


def pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around x (B, C, H, W) so that a convolution gives ceil(size / stride); the odd one at the end."""

    def ends(size: int) -> tuple[int, int]:
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2

    return F.pad(x, (*ends(x.shape[3]), *ends(x.shape[2])))


class ConvNorm(nn.Module):
    """A convolution as TensorFlow pads it, then batch norm, then, where asked, ReLU up to 6."""

    def __init__(self, a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(a, b, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(b, eps=1e-3)
        self.kernel, self.stride, self.relu = kernel, stride, relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(pad_same(x, self.kernel, self.stride)))
        return F.relu6(x) if self.relu else x


class Inverted(nn.Module):
    """An inverted bottleneck: widen, convolve each channel by itself, narrow; a residual where the shape allows.

    Sandler et al. 2018, https://arxiv.org/abs/1801.04381
    """

    def __init__(self, a: int, b: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = a * expansion
        self.expand = ConvNorm(a, wide) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride, groups=wide)
        self.project = ConvNorm(wide, b, relu=False)
        self.residual = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Lite0(nn.Module):
    """The network: 4.7 M parameters, no squeeze and excitation, ReLU6. Tan and Le 2019, https://arxiv.org/abs/1905.11946"""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, kernel=3, stride=2)
        widths = [32, *(width for *_, width, _ in STAGES)]
        self.blocks = nn.ModuleList(
            Inverted(a if i == 0 else b, b, kernel, stride if i == 0 else 1, expansion)
            for (a, b), (kernel, stride, expansion, _, count) in zip(pairwise(widths), STAGES)
            for i in range(count)
        )
        self.last = ConvNorm(320, 1280)
        self.head = nn.Linear(1280, 1000)

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W), (k - 127) / 128 of bytes k -> (B, 1280)."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under our names; ours pass unchanged."""
    parts = {
        "_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "last.conv", "_bn1": "last.norm", "_fc": "head",
    }  # fmt: skip
    inner = {
        "_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm", "_project_conv": "project.conv", "_bn2": "project.norm",
    }  # fmt: skip

    def ours(name: str) -> str:
        first, *rest = name.split(".")
        if first == "_blocks" and len(rest) > 2:
            return ".".join(["blocks", rest[0], inner.get(rest[1], rest[1]), *rest[2:]])
        return ".".join([parts.get(first, first), *rest])

    return {ours(name): tensor for name, tensor in tensors.items()}


class EfficientNetLite0(Extractor):
    """The 1280 pooled features of EfficientNet-Lite0, for pictures in grey or colour of any size.

    Pictures are resized to `size` x `size`, bilinear with antialiasing; grey is repeated to three channels. Sizes other
    than 224, on which it was trained, are faster and give other features, so the size is part of the name.
    The weights come by `reverie data get efficientnet_lite0`; Apache-2.0.
    """

    def __init__(self, size: int = 128, path: Path | None = None) -> None:
        super().__init__()
        if size < 32 or size % 32:
            raise ReverieError(f"the size of EfficientNetLite0 must be a multiple of 32, not {size}")
        self.size = size
        tensors, self._hash = read_weights(path or cached("efficientnet_lite0"))
        self.network = Lite0()
        fill(self.network, renamed(tensors), "the file of efficientnet_lite0")
        self.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        return f"efficientnet_lite0({self.size})"

    @property
    def dim(self) -> int:
        return 1280

    @property
    def hash(self) -> str:
        return self._hash

    @classmethod
    def claims(cls, shape: tuple[int, ...], dataset: str | None = None) -> int:
        return 2 if len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= 16 else 0

    @classmethod
    def build(cls, shape: tuple[int, ...], dataset: str | None = None) -> "EfficientNetLite0":
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ReverieError(f"EfficientNetLite0 takes pictures (1 or 3, H, W), not {tuple(shape)}")
        return cls()

    def prepared(self, raw: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) -> (B, 3, size, size), (k - 127) / 128 of bytes k."""
        x = (signed(raw) + 1) * 127.5
        x = (
            F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
            if x.shape[2:] != (self.size,) * 2
            else x
        )
        return (x.expand(-1, 3, -1, -1) - 127) / 128

    def forward(self, raw: Tensor) -> Tensor:
        return self.network.features(self.prepared(raw))

    def logits(self, raw: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) -> (B, 1000): the classes of ImageNet."""
        return self.network(self.prepared(raw))

    @torch.no_grad()
    def labels(self, raw: Tensor, batch: int = 64) -> Tensor:
        """The most likely ImageNet class of each of N pictures (N,)."""
        return torch.cat([self.logits(part).argmax(1) for part in raw.split(batch)])
