"""The diffusion transformer over 1, 2 or 3 axes."""

import math
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import CrossAttention, attend, head_count, joined, split
from .base import Backbone, computed, real, whole, zeroed
from .compiling import Compilable, kernel
from .embeddings import Conditions, sinusoid
from .norms import wide
from .patches import patch_of, patches, unpatched
from .rotary import rotated, turns


class DiT(Backbone):
    """A transformer of patches, told the noise and the conditions by the scale, shift and gate of every block.

        h = embed(patches(x)),  h <- block(h) `depth` times,  F = unpatched(head(norm(h)))

    Positions enter by rotation of queries and keys along every axis, so that attention sees differences of position, and
    once by their sinusoids, so that a patch knows where it is. With `tokens`, each block attends to them too.
    A patch is `patch` positions long along each axis, or has one length for each. Any size will do: zeros on the right
    complete the last patch, and what comes out there is cropped.

    Peebles & Xie 2022, https://arxiv.org/abs/2212.09748; rotation: Su et al. 2021, https://arxiv.org/abs/2104.09864
    """

    def __init__(
        self,
        spatial: int = 2,
        channels: int = 3,
        out_channels: int | None = None,
        patch: int | Sequence[int] = 2,
        width: int = 384,
        depth: int = 12,
        head_size: int = 64,
        expansion: int = 4,
        classes: int = 0,
        scalars: int = 0,
        tokens: int = 0,
        maps: int = 0,
        dropout: float = 0.0,
        noise_scale: float = 100.0,
    ) -> None:
        """`expansion` is the width of the blocks' MLPs in units of `width`; `noise_scale` is that of the U-Net.

        Raises ValueError for a number out of bounds, or heads of an odd size, which cannot be rotated.
        """
        super().__init__(spatial, channels, out_channels, classes, scalars, tokens, maps)
        self.patch = patch_of(patch, spatial)
        self.width, depth = whole("width", width, 2, 2**14), whole("depth", depth, 1, 256)
        heads = head_count(width, whole("head_size", head_size, 2, 2**14))
        if width // heads % 2:
            raise ValueError(f"width={width} makes heads of size {width // heads}, which is odd and cannot be rotated")
        self.head_size, volume = width // heads, math.prod(self.patch)
        hidden = width * whole("expansion", expansion, 1, 64)
        dropout, noise_scale = real("dropout", dropout, 0, 1), real("noise_scale", noise_scale, -1e6, 1e6)
        self.conditions = Conditions(256, width, classes, scalars, noise_scale)
        self.embed = nn.Linear((channels + maps) * volume, width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden, tokens, dropout) for _ in range(depth))
        self.has_inside = depth > 2
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.head = zeroed(nn.Linear(width, self.out_channels * volume))

    def forward(
        self, x, c_noise, *, label=None, scalars=None, tokens=None, tokens_mask=None, maps=None, through=computed
    ):
        self.check(x, c_noise, label, scalars, tokens, tokens_mask, maps)
        h, counts = patches(self.beside(x, maps).to(self.embed.weight.dtype), self.patch)
        where = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in counts)).reshape(-1, self.spatial)
        place = torch.stack([sinusoid(axis, 2 * -(-self.width // 2)) for axis in where.T]).sum(0)[:, : self.width]
        h = self.embed(h)
        h = h + place.to(h.dtype)
        said = F.silu(self.conditions(c_noise, label, scalars))
        turn = turns(where, self.head_size // 2)
        all_of = lambda blocks, h: reduce(
            lambda h, block: self.run(block, h, said, turn, tokens, tokens_mask), blocks, h
        )
        if through is computed or not self.has_inside:
            h = all_of(self.blocks, h)
        else:  # what the inner blocks add, since they are sums
            first, *inner, last = self.blocks
            h = self.run(first, h, said, turn, tokens, tokens_mask)
            h = self.run(last, h + through(lambda h: all_of(inner, h) - h, h), said, turn, tokens, tokens_mask)
        shift, scale = self.modulation(said)[:, None].chunk(2, dim=2)
        return unpatched(self.head(modulated(h, shift, scale)), self.patch, counts, x.shape[2:]).to(x.dtype)


class Block(Compilable):
    """Attention, then an MLP, each scaled, shifted and gated by the condition vector; the identity at first.

    h <- h + gate attention((1 + scale) norm(h) + shift),  h <- h + gate' mlp((1 + scale') norm(h) + shift')

    Compiled as a whole: what stands between its products is read and written once.
    """

    def __init__(self, width: int, heads: int, hidden: int, tokens: int, dropout: float) -> None:
        super().__init__()
        self.modulation = zeroed(nn.Linear(width, 6 * width))
        self.attention = RotaryAttention(width, heads)
        self.cross = CrossAttention(width, tokens, width // heads) if tokens else None
        self.mlp = nn.Sequential(Linear(width, hidden), GELU(), nn.Dropout(dropout), Linear(hidden, width))

    def forward(
        self, h: Tensor, said: Tensor, turn: Tensor, tokens: Tensor | None, tokens_mask: Tensor | None
    ) -> Tensor:
        """h (B, N, width), said (B, width), turn (2, N, size / 2) -> (B, N, width)."""
        return kernel(Block.once, self.compiled)(self, h, said, turn, tokens, tokens_mask)

    def once(self, h: Tensor, said: Tensor, turn: Tensor, tokens: Tensor | None, tokens_mask: Tensor | None) -> Tensor:
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(said)[:, None].chunk(6, dim=2)
        h = h + gate * self.attention(modulated(h, shift, scale), turn)
        if self.cross is not None:
            h = h + self.cross(F.layer_norm(h, h.shape[2:]), tokens, tokens_mask)
        return h + gate_2 * self.mlp(modulated(h, shift_2, scale_2))


class Linear(nn.Linear, Compilable):
    """W x + b. Compiled, b is added where the product is read next; PyTorch's own first writes it into every row."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.compiled:
            return super().forward(x)
        product = F.linear(x, self.weight)
        return (wide(product) + self.bias).to(product.dtype)


class GELU(Compilable):
    """x Phi(x) with the tanh of its approximation written as a sigmoid, which compilers have in half the time.

    x sigmoid(sqrt(8 / pi) (x + 0.044715 x^3)); Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.compiled:
            return F.gelu(x, approximate="tanh")
        z = wide(x)
        return (z * torch.sigmoid(1.5957691216057308 * (z + 0.044715 * z * z * z))).to(x.dtype)


class RotaryAttention(nn.Module):
    """Attention between patches, of normalised queries and keys that are turned by their positions.

    The norm bounds the logits: Dehghani et al. 2023, https://arxiv.org/abs/2302.05442
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, Linear(width, 3 * width), Linear(width, width)

    def forward(self, h: Tensor, turn: Tensor) -> Tensor:
        q, k, v = (split(part, self.heads) for part in self.qkv(h).chunk(3, dim=2))
        q, k = (rotated(F.rms_norm(part, part.shape[3:]), turn) for part in (q, k))
        return self.out(joined(attend(q, k, v)))


def modulated(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """(1 + scale) norm(h) + shift; h (B, N, width), scale and shift (B, 1, width)."""
    return F.layer_norm(h, h.shape[2:]) * (1 + scale) + shift
