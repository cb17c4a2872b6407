"""The U-Net of latent diffusion: spatial transformers in the place of its attentions."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend, joined, split
from .base import Backbone, real, whole, wholes
from .embeddings import Conditions
from .norms import Norm
from .unet import Residual, Stage, UNet

MOST_DEEP = 64
"""Transformer blocks in a stage."""


class SpatialUNet(UNet):
    """A `UNet` whose stages end in transformers: positions attend to each other, then to `tokens`, then think alone.

    `depths` are transformer blocks of the stages of each level, finest first, 0 for none; `middle` those of the middle.
    `heads` are numbers of heads, of each level; at levels where `unseen` is true positions attend to tokens twice and not to
    each other, which large pictures can afford. Conditions come before the norms (`adaptive` false), as in the checkpoints
    of Stable Diffusion 1, 2 and XL, whose layout this is: `layouts`, `UNet2DConditionModel`. What XL says of sizes and of
    the pooled text are its `scalars`; the noise of the 4x upscaler's small picture is its `label`.

    Rombach et al. 2021, https://arxiv.org/abs/2112.10752; Podell et al. 2023, https://arxiv.org/abs/2307.01952
    """

    def __init__(
        self,
        spatial: int = 2,
        channels: int = 4,
        out_channels: int | None = None,
        levels: Sequence[int] = (320, 640, 1280, 1280),
        blocks: int = 2,
        depths: Sequence[int] = (1, 1, 1, 0),
        middle: int = 1,
        heads: Sequence[int] = (8, 8, 8, 8),
        groups: int = 32,
        classes: int = 0,
        scalars: int = 0,
        tokens: int = 768,
        maps: int = 0,
        dropout: float = 0.0,
        noise_scale: float = 1.0,
        eps: float = 1e-5,
        unseen: Sequence[bool] = (),
    ) -> None:
        """Raises ValueError for a number out of bounds, and where a level has no whole number of channels a head."""
        Backbone.__init__(
            self, spatial, channels, out_channels, classes, scalars, whole("tokens", tokens, 1, 2**16), maps
        )
        levels = wholes("levels", levels, 2, 2**14, most=10)
        blocks, groups = whole("blocks", blocks, 1, 32), whole("groups", groups, 1, 2**14)
        depths, heads = wholes("depths", depths, 0, MOST_DEEP, most=10), wholes("heads", heads, 1, 2**10, most=10)
        middle, dropout = whole("middle", middle, 0, MOST_DEEP), real("dropout", dropout, 0, 1)
        noise_scale, eps = real("noise_scale", noise_scale, -1e6, 1e6), real("eps", eps, 0, 1)
        if len(depths) != len(levels) or len(heads) != len(levels):
            raise ValueError(
                f"depths and heads have one entry for each of {len(levels)} levels, not {len(depths)}, {len(heads)}"
            )
        unseen = tuple(unseen) or (False,) * len(levels)
        if len(unseen) != len(levels) or not all(isinstance(one, bool) for one in unseen):
            raise ValueError(f"unseen says true or false of each of {len(levels)} levels, not {str(unseen)[:60]}")
        for outer, n in zip(levels, heads):
            if outer % n:
                raise ValueError(f"{outer} channels do not split into {n} heads")
        width = 4 * levels[0]

        def stage(i: int, inner: int, outer: int, depth: int | None = None) -> Stage:
            middle, depth = depth is not None, depths[i] if depth is None else depth
            residual = Residual(spatial, inner, outer, width, groups, False, dropout)
            for norm in (residual.norm_1, residual.norm_2):
                norm.eps = eps
            alone = unseen[i] and not middle
            inside = SpatialTransformer(outer, tokens, heads[i], depth, groups, alone) if depth else None
            return Stage(residual, None, inside)

        self.conditions = Conditions(levels[0], width, classes, scalars, noise_scale)
        self.patch, last = (1,) * spatial, len(levels) - 1
        self.assemble(
            levels, blocks, groups, True, stage, lambda now: [stage(last, now, now, depth) for depth in (middle, 0)]
        )
        self.norm.eps = eps


class SpatialTransformer(nn.Module):
    """x + out(blocks(inn(norm(x)))) over the positions of x (B, C, *axes), each block attending to tokens too."""

    def __init__(self, width: int, tokens: int, heads: int, depth: int, groups: int, unseen: bool) -> None:
        super().__init__()
        self.norm = Norm(width, groups)
        self.norm.eps = 1e-6
        self.inn, self.out = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.blocks = nn.ModuleList([Block(width, tokens, heads, unseen) for _ in range(depth)])

    def forward(self, x: Tensor, tokens: Tensor, tokens_mask: Tensor | None) -> Tensor:
        h = self.inn(self.norm(x).flatten(2).transpose(1, 2))
        for block in self.blocks:
            h = block(h, tokens, tokens_mask)
        return x + self.out(h).transpose(1, 2).unflatten(2, x.shape[2:])


class Block(nn.Module):
    """h (B, N, C) plus attention between its positions, plus attention to tokens, plus a gated network of each alone.

    Where positions are `unseen` the first is to tokens too.
    """

    def __init__(self, width: int, tokens: int, heads: int, unseen: bool) -> None:
        super().__init__()
        self.unseen = unseen
        self.norm_1, self.own = nn.LayerNorm(width), Attention(width, tokens if unseen else width, heads)
        self.norm_2, self.cross = nn.LayerNorm(width), Attention(width, tokens, heads)
        self.norm_3, self.gate, self.back = (
            nn.LayerNorm(width),
            nn.Linear(width, 8 * width),
            nn.Linear(4 * width, width),
        )

    def forward(self, h: Tensor, tokens: Tensor, tokens_mask: Tensor | None) -> Tensor:
        own = self.norm_1(h)
        h = h + (self.own(own, tokens, tokens_mask) if self.unseen else self.own(own, own))
        h = h + self.cross(self.norm_2(h), tokens, tokens_mask)
        value, gate = self.gate(self.norm_3(h)).chunk(2, dim=2)
        return h + self.back(value * F.gelu(gate))


class Attention(nn.Module):
    """out(attend(q(h), k(tokens), v(tokens))); a sample needs a token that counts."""

    def __init__(self, width: int, tokens: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(tokens, width, bias=False) for _ in range(2))
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        tokens = tokens.to(h.dtype)
        q, k, v = (split(part, self.heads) for part in (self.q(h), self.k(tokens), self.v(tokens)))
        return self.out(joined(attend(q, k, v, None if mask is None else mask[:, None, None])))
