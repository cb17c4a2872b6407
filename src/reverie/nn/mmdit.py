"""The transformer in which patches and tokens attend to each other, each side with weights of its own."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend, joined, split
from .base import Backbone, computed, real, truth, whole, wholes, zeroed
from .embeddings import Conditions, sinusoid
from .patches import patch_of


class MMDiT(Backbone):
    """Patches of x and `tokens` as two streams, joined in attention alone:

        h <- h + g attention(h', c') + g' mlp(h''),    c <- c + ... likewise,    F = unpatched(head(h'))

    h' and h'' are norms, scaled and shifted, and g gates, by what is said of the noise, label and scalars. The last block has
    no more to say to the tokens. `dual` are blocks (counted from 0) whose patches attend a second time, to patches alone.
    Places are told once, by sinusoids in a table of `places` positions along each axis, of whose middle a sample has its
    part. The layout is that of diffusers' `SD3Transformer2DModel`: see `layouts`.

    Esser et al. 2024, https://arxiv.org/abs/2403.03206
    """

    def __init__(
        self,
        spatial: int = 2,
        channels: int = 16,
        out_channels: int | None = None,
        patch: int | Sequence[int] = 2,
        width: int = 384,
        depth: int = 12,
        head_size: int = 64,
        expansion: int = 4,
        classes: int = 0,
        scalars: int = 0,
        tokens: int = 384,
        maps: int = 0,
        dual: Sequence[int] = (),
        normed: bool = True,
        places: int = 64,
        base: float | None = None,
        noise_scale: float = 100.0,
    ) -> None:
        """`normed` is whether queries and keys are; `base` is how many places of the table the sinusoids count as, all of them
        unless told otherwise; `noise_scale` is that of the U-Net.

        Raises ValueError for a number out of bounds, and where heads do not split the width.
        """
        super().__init__(spatial, channels, out_channels, classes, scalars, whole("tokens", tokens, 1, 2**16), maps)
        self.patch, self.width = patch_of(patch, spatial), whole("width", width, 2 * spatial, 2**14)
        depth, size = whole("depth", depth, 1, 256), whole("head_size", head_size, 1, 2**14)
        self.places, normed = whole("places", places, 1, 2**12), truth("normed", normed)
        noise_scale, expansion = real("noise_scale", noise_scale, -1e6, 1e6), whole("expansion", expansion, 1, 64)
        dual = wholes("dual", dual, 0, 255, most=256) if dual else ()
        if width % size or width % (2 * spatial):
            raise ValueError(f"width={width} does not split into heads of {size} and sinusoids of {spatial} axes")
        if places**spatial * width > 2**28 or any(i >= depth for i in dual):
            raise ValueError(f"places={places} make too large a table, or dual={list(dual)} names no block of {depth}")
        heads = width // size
        self.conditions = Conditions(256, width, classes, scalars, noise_scale)
        conv: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[spatial - 1]
        self.embed = conv(channels + maps, width, self.patch, stride=self.patch)
        self.table = Table(spatial, self.places, width, base or float(places))
        self.tell = nn.Linear(tokens, width)
        self.blocks = nn.ModuleList(
            Block(width, heads, expansion, i in dual, normed, last=i + 1 == depth) for i in range(depth)
        )
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.head = zeroed(nn.Linear(width, self.out_channels * math.prod(self.patch)))

    def forward(
        self, x, c_noise, *, label=None, scalars=None, tokens=None, tokens_mask=None, maps=None, through=computed
    ):
        """A sample needs a token that counts, and has at most `places` patches along each axis; what completes the last
        patch is zero. Raises ValueError for a larger one.
        """
        self.check(x, c_noise, label, scalars, tokens, tokens_mask, maps)
        dtype = self.embed.weight.dtype
        short = [-n % p for n, p in zip(x.shape[2:], self.patch)]
        h = self.embed(F.pad(self.beside(x, maps).to(dtype), [end for n in reversed(short) for end in (0, n)]))
        counts = h.shape[2:]
        h = h.flatten(2).transpose(1, 2) + self.table(counts).to(dtype)
        said = F.silu(self.conditions(c_noise, label, scalars))
        c = self.tell(tokens.to(dtype))
        mask = None if tokens_mask is None else F.pad(tokens_mask, (h.shape[1], 0), value=True)[:, None, None]
        for block in self.blocks:
            h, c = self.run(block, h, c, said, mask)
        scale, shift = self.modulation(said)[:, None].chunk(2, dim=2)
        out = self.head(normed(h, shift, scale)).reshape(len(x), *counts, *self.patch, self.out_channels)
        axes = self.spatial
        out = out.permute(0, 1 + 2 * axes, *(n for i in range(axes) for n in (1 + i, 1 + axes + i)))
        out = out.reshape(len(x), self.out_channels, *(n * p for n, p in zip(counts, self.patch)))
        for axis, n in enumerate(x.shape[2:], start=2):
            out = out.narrow(axis, 0, n)
        return out.to(x.dtype)


class Table(nn.Module):
    """What is added to a patch for where it is, as `pos_embed` (1, places^axes, width); a checkpoint has its own."""

    pos_embed: Tensor

    def __init__(self, spatial: int, places: int, width: int, base: float) -> None:
        super().__init__()
        self.spatial, self.places = spatial, places
        where = (
            torch.cartesian_prod(*(torch.arange(places) for _ in range(spatial))).reshape(-1, spatial) * base / places
        )
        table = torch.cat([sinusoid(axis, width // spatial // 2 * 2) for axis in where.T], dim=1)
        self.register_buffer("pos_embed", F.pad(table, (0, width - table.shape[1]))[None])

    def forward(self, counts: Sequence[int]) -> Tensor:
        """(1, N, width) of the middle of the table."""
        if max(counts) > self.places:
            raise ValueError(
                f"a sample has {'x'.join(map(str, counts))} patches, and this network knows {self.places} places"
            )
        table = self.pos_embed.unflatten(1, (self.places,) * self.spatial)
        for axis, n in enumerate(counts, start=1):
            table = table.narrow(axis, (self.places - n) // 2, n)
        return table.flatten(1, -2)


class Block(nn.Module):
    """Attention of patches and tokens among all, then of patches alone where it is `dual`, then an MLP of each side."""

    def __init__(self, width: int, heads: int, expansion: int, dual: bool, normed: bool, last: bool) -> None:
        super().__init__()
        self.modulation = zeroed(nn.Linear(width, (9 if dual else 6) * width))
        self.telling = zeroed(nn.Linear(width, (2 if last else 6) * width))
        self.attention = Joint(width, heads, normed, last)
        self.second = Sides(width, heads, normed) if dual else None
        self.mlp = mlp(width, expansion)
        self.told = None if last else mlp(width, expansion)

    def forward(self, h: Tensor, c: Tensor, said: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """h (B, N, width) patches, c (B, L, width) tokens, said (B, width), mask (B, 1, 1, N + L) -> (h, c)."""
        shift, scale, gate, shift_2, scale_2, gate_2, *own = self.modulation(said)[:, None].chunk(
            9 if self.second is not None else 6, dim=2
        )
        if self.told is None:
            scale_c, shift_c = self.telling(said)[:, None].chunk(2, dim=2)
        else:
            shift_c, scale_c, gate_c, shift_d, scale_d, gate_d = self.telling(said)[:, None].chunk(6, dim=2)
        a, b = self.attention(normed(h, shift, scale), normed(c, shift_c, scale_c), mask)
        alone = 0.0 if self.second is None else own[2] * self.second.alone(normed(h, own[0], own[1]))
        h = h + gate * a + alone
        h = h + gate_2 * self.mlp(normed(h, shift_2, scale_2))
        if self.told is not None and b is not None:
            c = c + gate_c * b
            c = c + gate_d * self.told(normed(c, shift_d, scale_d))
        return h, c


class Sides(nn.Module):
    """Queries, keys and values of one stream, and the way back; with `normed`, queries and keys are, head by head."""

    def __init__(self, width: int, heads: int, normed: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(width // heads, eps=1e-6) if normed else nn.Identity() for _ in range(2))

    def parts(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (split(each(h), self.heads) for each in (self.q, self.k, self.v))
        return self.norm_q(q), self.norm_k(k), v

    def alone(self, h: Tensor) -> Tensor:
        return self.out(joined(attend(*self.parts(h))))


class Joint(Sides):
    """out(attend(q, k, v)) where q, k and v are those of h and of c, one after the other."""

    def __init__(self, width: int, heads: int, normed: bool, last: bool) -> None:
        super().__init__(width, heads, normed)
        self.q_c, self.k_c, self.v_c = (nn.Linear(width, width) for _ in range(3))
        self.norm_q_c, self.norm_k_c = (
            nn.RMSNorm(width // heads, eps=1e-6) if normed else nn.Identity() for _ in range(2)
        )
        self.out_c = None if last else nn.Linear(width, width)

    def forward(self, h: Tensor, c: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        q, k, v = (split(each(c), self.heads) for each in (self.q_c, self.k_c, self.v_c))
        both = zip(self.parts(h), (self.norm_q_c(q), self.norm_k_c(k), v))
        q, k, v = (torch.cat(pair, dim=2) for pair in both)
        found = joined(attend(q, k, v, mask))
        a, b = found.split([h.shape[1], c.shape[1]], dim=1)
        return self.out(a), None if self.out_c is None else self.out_c(b)


def normed(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) norm(h) + shift, the norm without weights and of eps 1e-6."""
    return F.layer_norm(h, h.shape[2:], eps=1e-6) * (1 + scale) + shift


def mlp(width: int, expansion: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, expansion * width), nn.GELU(approximate="tanh"), nn.Linear(expansion * width, width)
    )
