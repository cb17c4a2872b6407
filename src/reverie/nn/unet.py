"""The U-Net over 1, 2 or 3 axes."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CrossAttention, SelfAttention
from .base import Backbone, Through, computed, real, truth, whole, wholes, zeroed
from .convolutions import Convolution
from .embeddings import Conditions
from .norms import Norm
from .patches import folded, patch_of, unfolded

MOST_BLOCKS = 64
"""Of all levels on the way down."""


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
        maps: int = 0,
        dropout: float = 0.0,
        noise_scale: float = 100.0,
        patch: int | Sequence[int] = 1,
        eps: float = 1e-5,
        frequency_shift: int = 0,
        centred: bool = True,
    ) -> None:
        """`levels` are channels, finest first; `groups` those of the norms (their common divisor with a level's channels).

        The last three are for checkpoints of elsewhere: `eps` of the norms; `frequency_shift` 1, where the lowest frequency
        of the noise is 1e-4 itself; not `centred`, where halving pads after each axis alone.

        With `adaptive` false, the condition vector is added before the norm instead of scaling and shifting after it.
        Raises ValueError for a number out of bounds.
        """
        super().__init__(spatial, channels, out_channels, classes, scalars, tokens, maps)
        levels = wholes("levels", levels, 2, 2**14, most=10)
        blocks, head_size = whole("blocks", blocks, 1, 32), whole("head_size", head_size, 1, 2**14)
        groups = whole("groups", groups, 1, 2**14)
        if len(levels) * blocks > MOST_BLOCKS:
            raise ValueError(f"{len(levels)} levels of {blocks} blocks are more blocks than any network here")
        adaptive, dropout = truth("adaptive", adaptive), real("dropout", dropout, 0, 1)
        noise_scale, eps = real("noise_scale", noise_scale, -1e6, 1e6), real("eps", eps, 0, 1)
        frequency_shift, centred = whole("frequency_shift", frequency_shift, 0, 1), truth("centred", centred)
        given = [i > 0 for i in range(len(levels))] if attention is None else attention
        self.attends = attends = [truth("attention", one) for one in given]
        if len(attends) != len(levels):
            raise ValueError(f"attention has {len(attends)} entries for {len(levels)} levels")
        width = 4 * levels[0]

        def stage(inner: int, outer: int, attend: bool) -> Stage:
            residual = Residual(spatial, inner, outer, width, groups, adaptive, dropout)
            self_attention = SelfAttention(Norm(outer, groups), head_size) if attend else None
            cross = Cross(Norm(outer, groups), tokens, head_size) if attend and tokens else None
            return Stage(residual, self_attention, cross)

        self.conditions = Conditions(levels[0], width, classes, scalars, noise_scale, frequency_shift)
        self.patch = patch_of(patch, spatial)
        at = lambda i, inner, outer: stage(inner, outer, attends[i])
        self.assemble(
            levels, blocks, groups, centred, at, lambda now: [stage(now, now, any(attends)), stage(now, now, False)]
        )
        for part in self.modules():
            if isinstance(part, Norm):
                part.eps = eps
        self.attention_widths = {m.norm.num_channels for m in self.modules() if isinstance(m, SelfAttention)}

    def assemble(
        self, levels: Sequence[int], blocks: int, groups: int, centred: bool, stage: "Callable[[int, int, int], Stage]",
        middle: "Callable[[int], list[Stage]]",
    ) -> None:  # fmt: skip
        """Stem, the way down and up again, head; `stage(level, inner, outer)` makes a stage, `middle(width)` the deepest."""
        volume = math.prod(self.patch)
        self.stem = Convolution(self.spatial, (self.channels + self.maps) * volume, levels[0])
        down, up = [], []
        now, left = levels[0], [levels[0]]
        for i, outer in enumerate(levels):
            stages = [stage(i, now if j == 0 else outer, outer) for j in range(blocks)]
            halve = Halve(self.spatial, outer, centred) if i + 1 < len(levels) else None
            down.append(Level(stages, halve))
            now, left = outer, left + [outer] * (blocks + (halve is not None))
        self.middle = nn.ModuleList(middle(now))
        for i, outer in reversed(list(enumerate(levels))):
            stages = [stage(i, (now if j == 0 else outer) + left.pop(), outer) for j in range(blocks + 1)]
            up.append(Level(stages, Double(self.spatial, outer) if i > 0 else None))
            now = outer
        self.down: Any = nn.ModuleList(down)
        self.up: Any = nn.ModuleList(up)
        self.norm, self.head = Norm(now, groups), zeroed(Convolution(self.spatial, now, self.out_channels * volume))
        self.has_inside = len(levels) > 1

    def forward(
        self, x, c_noise, *, label=None, scalars=None, tokens=None, tokens_mask=None, maps=None, through=computed
    ):
        self.check(x, c_noise, label, scalars, tokens, tokens_mask, maps)
        said = F.silu(self.conditions(c_noise, label, scalars)), tokens, tokens_mask
        h = self.stem(folded(self.beside(x, maps).to(self.stem.weight.dtype), self.patch))
        last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
        h = h.contiguous(memory_format=last if self.compiled and x.ndim > 3 else torch.contiguous_format)
        h = self.level(0, h, said, through)
        h = self.head(self.norm(h, activate=True))
        return unfolded(h, self.patch, x.shape[2:]).to(x.dtype).contiguous()

    def level(self, i: int, h: Tensor, said: tuple[Any, ...], through: Through = computed) -> Tensor:
        """What becomes of h on the way down through level i, through all that are coarser, and up again."""
        down, up = self.down[i], self.up[-1 - i]
        left = [h]
        for stage in down.stages:
            h = self.run(stage, h, *said)
            left.append(h)
        if down.resample is None:
            for stage in self.middle:
                h = self.run(stage, h, *said)
        else:
            double = self.up[-2 - i].resample

            def inside(h: Tensor) -> Tensor:
                return double(self.level(i + 1, down.resample(h), said), h.shape[2:])

            h = through(inside, h)
        for stage in up.stages:
            h = self.run(stage, torch.cat([h, left.pop()], dim=1), *said)
        return h


class Level(nn.Module):
    """What happens at one resolution, and the way to the next."""

    def __init__(self, stages: "list[Stage]", resample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.resample = nn.ModuleList(stages), resample


class Stage(nn.Module):
    """A residual block, then attention between positions and to tokens, where asked."""

    def __init__(self, residual: "Residual", attention: SelfAttention | None, cross: nn.Module | None) -> None:
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
        self.norm_1, self.conv_1 = Norm(inner, groups), Convolution(spatial, inner, outer)
        self.modulation = nn.Linear(width, 2 * outer if adaptive else outer)
        self.norm_2, self.conv_2 = Norm(outer, groups), Convolution(spatial, outer, outer)
        self.skip = Convolution(spatial, inner, outer, size=1) if inner != outer else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, said: Tensor) -> Tensor:
        """x (B, inner, *axes), said (B, width) -> (B, outer, *axes)."""
        h = self.conv_1(self.norm_1(x, activate=True))
        told = self.modulation(said)
        if self.adaptive:
            h = self.norm_2(h, *told.chunk(2, dim=1), activate=True)
        else:
            h = self.norm_2(h + told.reshape(*told.shape, *[1] * (h.ndim - 2)), activate=True)
        return self.skip(x) + self.conv_2(self.dropout(h))


class Cross(nn.Module):
    """x + attention(norm(x), tokens) for x (B, C, *axes)."""

    def __init__(self, norm: Norm, tokens: int, head_size: int) -> None:
        super().__init__()
        self.norm, self.attention = norm, CrossAttention(norm.num_channels, tokens, head_size)

    def forward(self, x: Tensor, tokens: Tensor, tokens_mask: Tensor | None) -> Tensor:
        h = self.attention(self.norm(x).flatten(2).transpose(1, 2), tokens, tokens_mask)
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


class Halve(nn.Module):
    """Half as many positions an axis, rounded up; zeros on both sides of an axis, or only after it."""

    def __init__(self, spatial: int, width: int, centred: bool = True) -> None:
        super().__init__()
        self.conv, self.centred = Convolution(spatial, width, width, stride=2), centred

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(h) if self.centred else self.conv(F.pad(h, after(h)), padded=True)


class Double(nn.Module):
    """Every position twice, up to the size asked for, then a convolution."""

    def __init__(self, spatial: int, width: int) -> None:
        super().__init__()
        self.conv = Convolution(spatial, width, width)

    def forward(self, h: Tensor, size: Sequence[int]) -> Tensor:
        return self.conv(doubled(h, size))


def after(h: Tensor) -> list[int]:
    """Zeros after each axis of h (B, C, *axes), last axis first, for a kernel of 3 to reach ceil(n / 2) places by twos."""
    return [n for size in reversed(h.shape[2:]) for n in (0, 2 - (size + 1) % 2)]


def doubled(h: Tensor, size: Sequence[int]) -> Tensor:
    """Every position of h (B, C, *axes) twice along each axis, then the first `size` of them."""
    if h.device.type == "cpu" and h.ndim > 3 and h.is_contiguous() and not h.requires_grad:
        twice = h  # interpolate turns it to channels last and back, which takes two to four times as long
        for axis in reversed(range(2, h.ndim)):
            twice = torch.stack((twice, twice), axis + 1).flatten(axis, axis + 1)
    else:
        twice = F.interpolate(h, scale_factor=2, mode="nearest")
    for axis, n in enumerate(size, start=2):
        twice = twice if n == twice.shape[axis] else twice.narrow(axis, 0, n)
    return twice
