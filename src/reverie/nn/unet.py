"""The U-Net over 1, 2 or 3 axes."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CrossAttention, SelfAttention
from .base import Backbone, whole, wholes, zeroed
from .convolutions import Convolution
from .embeddings import Conditions
from .patches import folded, patch_of, unfolded


class UNet(Backbone):
    """Residual blocks at halving resolutions down and up again, each level up reading what its level down left.

        h_1 = stem(x),  h_{l+1} = halve(blocks_l(h_l)),  ...,  u_l = blocks_l([double(u_{l+1}), h_l]),  F = head(u_1)

    Blocks are told the noise and the conditions by adaptive group norms. `attention` says at which levels, finest
    first, positions attend to each other (all but the finest, unless told otherwise); there they also attend to
    `tokens`. The middle attends if any level does. Heads have `head_size` channels, or all of a narrower level.

    Any size will do: halving n positions leaves ceil(n / 2), and doubling drops the last where that was one too many.
    So sizes are padded on the right, at every level, by nothing but the zeros of convolutions: no made-up pixel enters a
    norm or an attention, and an axis of length 1 stays as it is.

    Only the head and the attentions' outputs start at zero: with the residual blocks' second convolutions at zero too, small
    sequence networks first spent a hundred steps on a plateau.

    `noise_scale` multiplies c_noise before the sinusoids, whose frequencies are 1 down to 1e-4: 100 suits log_snr / 8,
    within about 2.5 of zero; 1 suits indices 0 ... 999.

    With `patch`, blocks of so many positions along each axis enter as channels of one position of the finest level, and
    leave so: at the price of one convolution, the costliest level is gone (Hoogeboom et al. 2023, simple diffusion,
    https://arxiv.org/abs/2301.11093).

    The layout is that of diffusers' `UNet2DModel` with `resnet_time_scale_shift="scale_shift"`: see `layouts`.
    Ho et al. 2020, https://arxiv.org/abs/2006.11239; Dhariwal & Nichol 2021, https://arxiv.org/abs/2105.05233
    """

    def __init__(
        self,
        spatial: int = 2,
        channels: int = 3,
        out_channels: int | None = None,
        levels: Sequence[int] = (64, 128, 128),
        blocks: int = 2,
        attention: Sequence[bool] | None = None,
        head_size: int = 64,
        groups: int = 32,
        adaptive: bool = True,
        classes: int = 0,
        scalars: int = 0,
        tokens: int = 0,
        dropout: float = 0.0,
        noise_scale: float = 100.0,
        patch: int | Sequence[int] = 1,
    ) -> None:
        """`levels` are channels, finest first; `groups` those of the norms (their common divisor with a level's channels).

        With `adaptive` false, the condition vector is added before the norm instead of scaling and shifting after it.
        Raises ValueError for a number out of bounds.
        """
        super().__init__(spatial, channels, out_channels, classes, scalars, tokens)
        levels = wholes("levels", levels, 2, 2**14, most=10)
        blocks, head_size = whole("blocks", blocks, 1, 32), whole("head_size", head_size, 1, 2**14)
        groups = whole("groups", groups, 1, 2**14)
        self.attends = attends = [i > 0 for i in range(len(levels))] if attention is None else list(attention)
        if len(attends) != len(levels):
            raise ValueError(f"attention has {len(attends)} entries for {len(levels)} levels")
        width = 4 * levels[0]

        def stage(inner: int, outer: int, attend: bool) -> Stage:
            residual = Residual(spatial, inner, outer, width, groups, adaptive, dropout)
            self_attention = SelfAttention(norm(outer, groups), head_size) if attend else None
            cross = Cross(norm(outer, groups), tokens, head_size) if attend and tokens else None
            return Stage(residual, self_attention, cross)

        self.conditions = Conditions(levels[0], width, classes, scalars, noise_scale)
        self.patch = patch_of(patch, spatial)
        volume = math.prod(self.patch)
        self.stem = Convolution(spatial, channels * volume, levels[0])
        down, up = [], []
        now, left = levels[0], [levels[0]]
        for i, (outer, attend) in enumerate(zip(levels, attends)):
            stages = [stage(now if j == 0 else outer, outer, attend) for j in range(blocks)]
            halve = Halve(spatial, outer) if i + 1 < len(levels) else None
            down.append(Level(stages, halve))
            now, left = outer, left + [outer] * (blocks + (halve is not None))
        self.middle = nn.ModuleList([stage(now, now, any(attends)), stage(now, now, False)])
        for i, (outer, attend) in reversed(list(enumerate(zip(levels, attends)))):
            stages = [stage((now if j == 0 else outer) + left.pop(), outer, attend) for j in range(blocks + 1)]
            up.append(Level(stages, Double(spatial, outer) if i > 0 else None))
            now = outer
        self.down: Any = nn.ModuleList(down)
        self.up: Any = nn.ModuleList(up)
        self.norm, self.head = norm(now, groups), zeroed(Convolution(spatial, now, self.out_channels * volume))
        self.attention_widths = {m.norm.num_channels for m in self.modules() if isinstance(m, SelfAttention)}

    def forward(self, x, c_noise, *, label=None, scalars=None, tokens=None, tokens_mask=None):
        self.check(x, c_noise, label, scalars, tokens, tokens_mask)
        said = F.silu(self.conditions(c_noise, label, scalars)), tokens, tokens_mask
        h = self.stem(folded(x.to(self.stem.weight.dtype), self.patch))
        left = [h]
        for level in self.down:
            for stage in level.stages:
                h = self.run(stage, h, *said)
                left.append(h)
            if level.resample is not None:
                h = level.resample(h)
                left.append(h)
        for stage in self.middle:
            h = self.run(stage, h, *said)
        for level in self.up:
            for stage in level.stages:
                h = self.run(stage, torch.cat([h, left.pop()], dim=1), *said)
            if level.resample is not None:
                h = level.resample(h, left[-1].shape[2:])
        h = self.head(F.silu(self.norm(h)))
        return unfolded(h, self.patch, x.shape[2:]).to(x.dtype)


class Level(nn.Module):
    """What happens at one resolution, and the way to the next."""

    def __init__(self, stages: "list[Stage]", resample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.resample = nn.ModuleList(stages), resample


class Stage(nn.Module):
    """A residual block, then attention between positions and to tokens, where asked."""

    def __init__(self, residual: "Residual", attention: SelfAttention | None, cross: "Cross | None") -> None:
        super().__init__()
        self.residual, self.attention, self.cross = residual, attention, cross

    def forward(self, h: Tensor, said: Tensor, tokens: Tensor | None, tokens_mask: Tensor | None) -> Tensor:
        h = self.residual(h, said)
        if self.attention is not None:
            h = self.attention(h)
        if self.cross is not None:
            h = self.cross(h, tokens, tokens_mask)
        return h


class Residual(nn.Module):
    """Two convolutions, the second after a norm whose scale and shift come from the condition vector.

        skip(x) + conv_2(silu((1 + scale) norm_2(conv_1(silu(norm_1(x)))) + shift))

    Not `adaptive`: silu(norm_2(conv_1(...) + shift)) in the place of the outer silu, as in Ho et al. 2020.
    Dhariwal & Nichol 2021, https://arxiv.org/abs/2105.05233
    """

    def __init__(
        self, spatial: int, inner: int, outer: int, width: int, groups: int, adaptive: bool, dropout: float
    ) -> None:
        super().__init__()
        self.adaptive = adaptive
        self.norm_1, self.conv_1 = norm(inner, groups), Convolution(spatial, inner, outer)
        self.modulation = nn.Linear(width, 2 * outer if adaptive else outer)
        self.norm_2, self.conv_2 = norm(outer, groups), Convolution(spatial, outer, outer)
        self.skip = Convolution(spatial, inner, outer, size=1) if inner != outer else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """x (B, inner, *axes), said (B, width) -> (B, outer, *axes)."""
        h = self.conv_1(F.silu(self.norm_1(x)))
        told = self.modulation(said)
        if self.adaptive:
            h = modulated(self.norm_2, h, *told.chunk(2, dim=1))
        else:
            h = self.norm_2(h + told.reshape(*told.shape, *[1] * (h.ndim - 2)))
        return self.skip(x) + self.conv_2(self.dropout(F.silu(h)))


def modulated(norm: nn.GroupNorm, h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(1 + scale) norm(h) + shift, for h (B, C, *axes), scale and shift (B, C), in one pass over h.

    The norm of B samples of C channels is that of one sample of B * C channels, each with its own weight and bias.
    """
    weight, bias = norm.weight * (1 + scale), norm.bias * (1 + scale) + shift
    whole_batch = h.reshape(1, -1, *h.shape[2:])
    return torch.group_norm(whole_batch, len(h) * norm.num_groups, weight.flatten(), bias.flatten(), norm.eps).view_as(
        h
    )


class Cross(nn.Module):
    """x + attention(norm(x), tokens) for x (B, C, *axes)."""

    def __init__(self, norm: nn.GroupNorm, tokens: int, head_size: int) -> None:
        super().__init__()
        self.norm, self.attention = norm, CrossAttention(norm.num_channels, tokens, head_size)

    def forward(self, x: Tensor, tokens: Tensor, tokens_mask: Tensor | None) -> Tensor:
        h = self.attention(self.norm(x.flatten(2)).transpose(1, 2), tokens, tokens_mask)
        return x + h.transpose(1, 2).reshape(x.shape)


class Halve(nn.Module):
    """Half as many positions an axis, rounded up."""

    def __init__(self, spatial: int, width: int) -> None:
        super().__init__()
        self.conv = Convolution(spatial, width, width, stride=2)

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(h)


class Double(nn.Module):
    """Every position twice, up to the size asked for, then a convolution."""

    def __init__(self, spatial: int, width: int) -> None:
        super().__init__()
        self.conv = Convolution(spatial, width, width)

    def forward(self, h: Tensor, size: Sequence[int]) -> Tensor:
        return self.conv(doubled(h, size))


def doubled(h: Tensor, size: Sequence[int]) -> Tensor:
    """Every position of h (B, C, *axes) twice along each axis, then the first `size` of them.

    A copy of a view: on a CPU several times faster than `interpolate`, and equal to its "nearest" for even sizes.
    """
    twice = h
    for axis in reversed(range(2, h.ndim)):
        twice = twice.unsqueeze(axis + 1)
    twice = twice.expand(*h.shape[:2], *(n for m in h.shape[2:] for n in (m, 2)))
    twice = twice.reshape(*h.shape[:2], *(2 * m for m in h.shape[2:]))
    for axis, n in enumerate(size, start=2):
        twice = twice if n == twice.shape[axis] else twice.narrow(axis, 0, n)
    return twice.contiguous()


def norm(width: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(groups, width), width)
