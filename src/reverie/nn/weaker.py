"""The same weights with less to say: networks that guidance leads away from."""

from collections.abc import Callable, Sequence
from copy import copy

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import SelfAttention
from .base import Backbone
from .dit import Block, DiT, RotaryAttention
from .unet import Stage, UNet


class Blind(nn.Module):
    """An attention whose map is the identity: out(v(h)), each position seeing itself alone."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, h: Tensor, *more: Tensor | None) -> Tensor:
        seen = self.attention
        if isinstance(seen, SelfAttention):
            return h + seen.out(seen.v(seen.norm(h.flatten(2)).transpose(1, 2))).transpose(1, 2).reshape(h.shape)
        assert isinstance(seen, RotaryAttention)
        weight, bias = (part.chunk(3)[2] for part in (seen.qkv.weight, seen.qkv.bias))
        return seen.out(F.linear(h, weight, bias))


class Skipped(nn.Module):
    """A block that hands on what it gets; of a U-Net, by the skip connection where widths differ."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, h: Tensor, *more: Tensor | None) -> Tensor:
        return self.block.residual.skip(h) if isinstance(self.block, Stage) else h


def blind(backbone: Backbone, layers: Sequence[int]) -> Backbone:
    """With the identity for the attention maps of these blocks. Raises ValueError where one does not attend."""
    names, middle = blocks(backbone)
    attending = [i for i, name in enumerate(names) if backbone.get_submodule(name).attention is not None]
    wanted = _known(backbone, layers or (middle,), len(names))
    for i in wanted:
        if i not in attending:
            raise ValueError(f"block {i} of this {type(backbone).__name__} does not attend: {attending or 'none'} do")
    return _replaced(backbone, [f"{names[i]}.attention" for i in wanted], Blind)


def without(backbone: Backbone, layers: Sequence[int]) -> Backbone:
    """Without these blocks."""
    names, middle = blocks(backbone)
    return _replaced(backbone, [names[i] for i in _known(backbone, layers or (middle,), len(names))], Skipped)


def blocks(backbone: Backbone) -> tuple[list[str], int]:
    """The names of a network's blocks in the order they run, and which is in the middle: of a U-Net, the deepest."""
    kind = Block if isinstance(backbone, DiT) else Stage
    names = [name for name, part in backbone.named_modules() if isinstance(part, kind)]
    if isinstance(backbone, UNet):
        names.sort(key=lambda name: ("down", "middle", "up").index(name.split(".")[0]))  # sorts are stable
        return names, names.index("middle.0")
    if not names:
        raise ValueError(f"{type(backbone).__name__} has no blocks that are known here")
    return names, len(names) // 2


def _known(backbone: Backbone, layers: Sequence[int], count: int) -> Sequence[int]:
    for i in layers:
        if not 0 <= i < count:
            raise ValueError(f"this {type(backbone).__name__} has blocks 0 to {count - 1}, and no {i}")
    return layers


def _replaced(backbone: Backbone, names: Sequence[str], by: Callable[[nn.Module], nn.Module]) -> Backbone:
    """A copy with other modules in these places; all else, weights included, is shared."""
    fresh = copy(backbone)
    fresh._modules = dict(backbone._modules)
    for name in names:
        *above, last = name.split(".")
        place: nn.Module = fresh
        for part in above:
            inner = copy(place._modules[part])
            assert inner is not None
            inner._modules = dict(inner._modules)
            place._modules[part] = inner
            place = inner
        place._modules[last] = by(place.get_submodule(last))
    return fresh
