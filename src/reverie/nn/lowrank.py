"""Low-rank changes of the layers of a network that stays as it is: LoRA.

    W' = W + scale alpha / rank  up down,    up (out, rank), down (rank, in)

The kernels of a convolution (out, in, *size) are a matrix (out, in size). Hu et al. 2021, https://arxiv.org/abs/2106.09685
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .convolutions import Convolution

KINDS = (nn.Linear, Convolution, nn.Conv1d, nn.Conv2d, nn.Conv3d)
INSERTED = re.compile(r"(.+)\.parametrizations\.weight\.(original|0\.(?:down|up|scale))")
"""The names of a layer's tensors once a change stands on it."""


@dataclass(frozen=True)
class Delta:
    """The change of one layer, down (rank, ...) and up (out, rank, ...); further axes are a kernel's, and are flattened."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return len(self.down)

    def of(self, shape: Sequence[int]) -> Tensor:
        """What is added to a weight of that shape, float32. Raises ValueError where the two do not fit."""
        down, up = self.down.float().flatten(1), self.up.float().flatten(1)
        size = 1
        for n in shape[1:]:
            size *= n
        if (len(up), down.shape[1], up.shape[1]) != (shape[0], size, len(down)):
            raise ValueError(f"down {tuple(self.down.shape)} and up {tuple(self.up.shape)} make no change of "
                             f"{'x'.join(map(str, shape))}")  # fmt: skip
        return (up @ down).mul_(self.alpha / self.rank).reshape(tuple(shape))


class LowRank(nn.Module):
    """weight + scale up down; nothing at first, since `up` is zero."""

    scale: Tensor

    def __init__(self, weight: Tensor, rank: int, alpha: float, noise: torch.Generator | None = None) -> None:
        super().__init__()
        size = weight[0].numel()
        down = torch.empty(rank, size).normal_(std=size**-0.5, generator=noise)
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device))
        self.register_buffer("scale", torch.tensor(alpha / rank, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # or the change is rounded before it is added
            return weight + (self.scale * (self.up @ self.down)).reshape(weight.shape).to(weight.dtype)


def matched(network: nn.Module, patterns: str) -> list[str]:
    """The linear maps and convolutions that a pattern names, themselves or what they are in; shell-style, apart by commas.

    Raises ValueError for a pattern that names none.
    """
    layers = [name for name, part in network.named_modules() if isinstance(part, KINDS)]
    found: set[str] = set()
    for pattern in filter(None, (one.strip() for one in patterns.split(","))):
        here = {name for name in layers if any(fnmatchcase(place, pattern) for place in places(name))}
        if not here:
            raise ValueError(f"{pattern!r} names no linear map and no convolution of this network")
        found |= here
    return [name for name in layers if name in found]


def places(name: str) -> list[str]:
    """a.b.c -> a, a.b, a.b.c, and its last word."""
    words = name.split(".")
    return [".".join(words[: i + 1]) for i in range(len(words))]


def insert(network: nn.Module, names: Sequence[str], rank: int, alpha: float, seed: int = 0) -> None:
    """Puts a change of nothing, to be trained, on each of these layers; all else stays as it is.

    The rank of a layer is at most its smaller side. `alpha` / `rank` is the scale of them all.
    """
    noise = torch.Generator().manual_seed(seed)
    network.requires_grad_(False)
    for name in names:
        layer = network.get_submodule(name)
        weight = layer.weight
        assert isinstance(weight, Tensor)
        here = min(rank, len(weight), weight[0].numel())
        change = LowRank(weight.detach(), here, alpha * here / rank, noise)
        parametrize.register_parametrization(layer, "weight", change)


def taken(tensors: Mapping[str, Tensor]) -> dict[str, Delta]:
    """The changes, by layer, among the tensors of a network with some."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if (match := INSERTED.fullmatch(name)) and match[2] != "original":
            parts.setdefault(match[1], {})[match[2].removeprefix("0.")] = tensor
    return {name: Delta(one["down"], one["up"], one["scale"].item() * len(one["down"])) for name, one in parts.items()}


def merged(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the plain network that computes the same as one with changes."""
    changes, found = taken(tensors), {}
    for name, tensor in tensors.items():
        match = INSERTED.fullmatch(name)
        if match is None:
            found[name] = tensor
        elif match[2] == "original":
            found[f"{match[1]}.weight"] = tensor + changes[match[1]].of(tensor.shape).to(tensor)
    return found


@torch.no_grad()
def add(network: nn.Module, changes: Mapping[str, Delta], scale: float = 1.0) -> None:
    """Adds changes of layers, by name, to the weights; -scale takes them away again, but for rounding.

    Raises ValueError where a layer is not there or has another shape, before anything is changed.
    """
    known = dict(network.named_parameters())
    faults = [name for name in changes if f"{name}.weight" not in known]
    if faults:
        raise ValueError(f"this network has no {', '.join(faults[:4])}" + (", ..." if len(faults) > 4 else ""))
    made = {}
    for name, change in changes.items():
        try:
            made[name] = change.of(known[f"{name}.weight"].shape)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    for name, one in made.items():
        weight = known[f"{name}.weight"]
        weight.add_(one.to(weight), alpha=scale)
