"""Inception-v3 as the Fréchet inception distance has it: TensorFlow's network of 2015 in PyTorch."""

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ReverieError
from ..files import fill
from .base import Extractor, cached, read_weights, signed

Conv = tuple[int, tuple[int, int], int]
"""Channels out, kernel, stride; padded to keep the size where the stride is 1, and not at all where it is 2."""
Chain = tuple[tuple[Conv, ...], ...]
"""Steps, each of one convolution or of several side by side."""


def conv(out: int, kernel: int | tuple[int, int] = 1, stride: int = 1) -> tuple[Conv, ...]:
    return ((out, (kernel, kernel) if isinstance(kernel, int) else kernel, stride),)


class ConvNorm(nn.Module):
    def __init__(self, a: int, b: int, kernel: tuple[int, int], stride: int, padding: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(a, b, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(b, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def average(x: Tensor) -> Tensor:
    """The mean of the 3x3 around a pixel as far as it lies inside, as TensorFlow takes it."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)


class Mixed(nn.Module):
    """Chains of convolutions and a pooling, side by side. With `pooled` channels the pooling keeps the size and a
    convolution follows; without, it is a maximum that halves the size.
    """

    def __init__(self, a: int, chains: dict[str, Chain], pooled: int = 0, pool=average) -> None:
        super().__init__()
        self.routes: list[list[list[str]]] = []
        for branch, steps in chains.items():
            width, route = a, []
            for i, step in enumerate(steps, start=1):
                ends = "ab" if len(step) > 1 else [""]
                names = [f"{branch}_{i}{end}" if len(steps) > 1 else branch for end in ends]
                for name, (b, kernel, stride) in zip(names, step):
                    padding = (kernel[0] // 2, kernel[1] // 2) if stride == 1 else (0, 0)
                    self.add_module(name, ConvNorm(width, b, kernel, stride, padding))
                width = sum(b for b, _, _ in step)
                route.append(names)
            self.routes.append(route)
        self.pool = pool
        self.branch_pool = ConvNorm(a, pooled, (1, 1), 1, (0, 0)) if pooled else None
        self.width = sum(sum(b for b, _, _ in steps[-1]) for steps in chains.values()) + (pooled or a)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for route in self.routes:
            y = x
            for names in route:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            found.append(y)
        found.append(self.branch_pool(self.pool(x)) if self.branch_pool else F.max_pool2d(x, 3, stride=2))
        return torch.cat(found, 1)


def mixed_a(a: int, pooled: int) -> Mixed:
    chains = {
        "branch1x1": (conv(64),),
        "branch5x5": (conv(48), conv(64, 5)),
        "branch3x3dbl": (conv(64), conv(96, 3), conv(96, 3)),
    }
    return Mixed(a, chains, pooled)


def mixed_b(a: int) -> Mixed:
    return Mixed(a, {"branch3x3": (conv(384, 3, 2),), "branch3x3dbl": (conv(64), conv(96, 3), conv(96, 3, 2))})


def mixed_c(a: int, c: int) -> Mixed:
    wide, high = (1, 7), (7, 1)
    chains = {
        "branch1x1": (conv(192),),
        "branch7x7": (conv(c), conv(c, wide), conv(192, high)),
        "branch7x7dbl": (conv(c), conv(c, high), conv(c, wide), conv(c, high), conv(192, wide)),
    }
    return Mixed(a, chains, 192)


def mixed_d(a: int) -> Mixed:
    chains = {
        "branch3x3": (conv(192), conv(320, 3, 2)),
        "branch7x7x3": (conv(192), conv(192, (1, 7)), conv(192, (7, 1)), conv(192, 3, 2)),
    }
    return Mixed(a, chains)


def mixed_e(a: int, pool) -> Mixed:
    both = conv(384, (1, 3)) + conv(384, (3, 1))
    chains = {
        "branch1x1": (conv(320),),
        "branch3x3": (conv(384), both),
        "branch3x3dbl": (conv(448), conv(384, 3), both),
    }
    return Mixed(a, chains, 192, pool)


class InceptionV3(nn.Module):
    """The network, with the published names and 1008 classes. As in 2015 the last block pools by the maximum.

    Szegedy et al. 2015, https://arxiv.org/abs/1512.00567
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, (3, 3), 2, (0, 0))
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, (3, 3), 1, (0, 0))
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, (3, 3), 1, (1, 1))
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, (1, 1), 1, (0, 0))
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, (3, 3), 1, (0, 0))
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = mixed_a(192, 32), mixed_a(256, 64), mixed_a(288, 64)
        self.Mixed_6a = mixed_b(288)
        self.Mixed_6b, self.Mixed_6c = mixed_c(768, 128), mixed_c(768, 160)
        self.Mixed_6d, self.Mixed_6e = mixed_c(768, 160), mixed_c(768, 192)
        self.Mixed_7a = mixed_d(768)
        self.Mixed_7b, self.Mixed_7c = mixed_e(1280, average), mixed_e(2048, maximum)
        self.fc = nn.Linear(2048, 1008)

    def blocks(self) -> Iterable[Mixed]:
        """All mixed blocks in order."""
        return [block for block in self.children() if isinstance(block, Mixed)]

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, 299, 299) in [-1, 1] -> (B, 2048)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        for block in self.blocks():
            x = block(x)
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))


def counters_removed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the counts of batches that a norm saw in training, which some files hold and nothing here uses."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}


class Inception(Extractor):
    """The 2048 features of the last pooling: with these, and only these, a Fréchet distance is a FID.

    Pictures are resized to 299 x 299, bilinear without antialiasing, on [-1, 1]; grey is repeated to three channels.
    The weights are `pt_inception-2015-12-05` of pytorch-fid as one safetensors file in the cache, under
    `data/inception`; they are asked for by name only. Heusel et al. 2017, https://arxiv.org/abs/1706.08500
    """

    SIZE = 299

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        mend = "put pytorch-fid's pt_inception-2015-12-05, saved as safetensors, into {folder}"
        tensors, self._hash = read_weights(path or cached("inception", mend))
        self.network = InceptionV3()
        counts = {n: t for n, t in self.network.state_dict().items() if n.endswith("num_batches_tracked")}
        fill(self.network, counters_removed(tensors) | counts, "the file of inception")
        self.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        return "inception"

    @property
    def dim(self) -> int:
        return 2048

    @property
    def hash(self) -> str:
        return self._hash

    @classmethod
    def claims(cls, shape: tuple[int, ...], dataset: str | None = None) -> int:
        return 0

    @classmethod
    def build(cls, shape: tuple[int, ...], dataset: str | None = None) -> "Inception":
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ReverieError(f"Inception takes pictures (1 or 3, H, W), not {tuple(shape)}")
        return cls()

    def forward(self, raw: Tensor) -> Tensor:
        size = (self.SIZE, self.SIZE)
        x = signed(raw).expand(-1, 3, -1, -1)
        return self.network.features(F.interpolate(x, size, mode="bilinear", align_corners=False))
