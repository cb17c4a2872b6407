"""Attention: between the positions of a sample, and from them to a sequence of tokens."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import differentiated, zeroed
from .norms import Norm

TILES = torch.cpu._is_amx_tile_supported()
"""Whether this CPU multiplies tiles of bfloat16 (AMX)."""


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(S)) v;  q (B, H, N, S), k and v (B, H, M, S), mask true where a key counts.

    Two products where a CPU's fused kernel is slower: where gradients are wanted (up to 8 times in bfloat16), while the
    N x M matrix is small. Vaswani et al. 2017, https://arxiv.org/abs/1706.03762
    """
    if fused(q, k, v) or q.shape[2] * k.shape[2] > 2**20:
        return F.scaled_dot_product_attention(q, k, v, mask)
    logits = torch.matmul(q * q.shape[3] ** -0.5, k.transpose(2, 3))
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    return torch.matmul(logits.softmax(dim=3), v)


def fused(*parts: Tensor) -> bool:
    """Whether one kernel is the quickest way: on accelerators, and on CPUs where nothing is differentiated."""
    if parts[0].device.type != "cpu":
        return True
    wide = parts[0].dtype == torch.float32 or TILES
    return wide and not differentiated(*parts)


def head_count(width: int, head_size: int) -> int:
    """How many heads of at least `head_size` a width splits into evenly; one where it is narrower."""
    return next(n for n in range(max(1, width // head_size), 0, -1) if width % n == 0)


class SelfAttention(nn.Module):
    """x + out(attend(q(norm(x)), k(norm(x)), v(norm(x)))) over all positions of x (B, C, *axes).

    In float32 linear maps are applied as convolutions of size 1: channels stay first, and on a CPU that is up to twice as
    fast. In bfloat16 matrix products are, with their gradients.
    Wang et al. 2018, https://arxiv.org/abs/1711.07971
    """

    def __init__(self, norm: Norm, head_size: int) -> None:
        super().__init__()
        width = norm.num_channels
        self.heads, self.norm = head_count(width, head_size), norm
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = zeroed(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.cat([self.q.weight, self.k.weight, self.v.weight])
        bias = torch.cat([self.q.bias, self.k.bias, self.v.bias])
        h = self.norm(x).flatten(2)
        if h.dtype == torch.float32 and not torch.is_autocast_enabled(h.device.type):
            qkv = F.conv1d(h, weight[:, :, None], bias)
            q, k, v = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in qkv.chunk(3, dim=1))
            h = attend(q, k, v).transpose(2, 3).flatten(1, 2)
            return x + F.conv1d(h, self.out.weight[:, :, None], self.out.bias).reshape(x.shape)
        qkv = F.linear(h.transpose(1, 2), weight, bias)
        q, k, v = (split(part, self.heads) for part in qkv.chunk(3, dim=2))
        h = F.linear(joined(attend(q, k, v)), self.out.weight, self.out.bias)
        return x + h.transpose(1, 2).unflatten(2, x.shape[2:])


class CrossAttention(nn.Module):
    """out(attend(q(h), k(tokens), v(tokens))) from positions h (B, N, C) to tokens (B, L, D); zero at first.

    One learned token is always there and never masked: a sample whose tokens are all masked attends to that one.
    Rombach et al. 2022, https://arxiv.org/abs/2112.10752
    """

    def __init__(self, width: int, tokens: int, head_size: int) -> None:
        super().__init__()
        self.heads = head_count(width, head_size)
        self.null, self.norm = nn.Parameter(torch.zeros(1, 1, tokens)), nn.LayerNorm(tokens)
        self.q, self.k, self.v = nn.Linear(width, width), nn.Linear(tokens, width), nn.Linear(tokens, width)
        self.out = zeroed(nn.Linear(width, width))

    def forward(self, h: Tensor, tokens: Tensor, tokens_mask: Tensor | None) -> Tensor:
        tokens = self.norm(tokens.to(self.null.dtype))
        tokens = torch.cat([self.null.expand(len(tokens), 1, -1).to(tokens.dtype), tokens], dim=1)
        mask = None if tokens_mask is None else F.pad(tokens_mask, (1, 0), value=True)[:, None, None]
        q, k, v = (split(part, self.heads) for part in (self.q(h), self.k(tokens), self.v(tokens)))
        return self.out(joined(attend(q, k, v, mask)))


def split(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads * size) -> (B, heads, N, size)"""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def joined(x: Tensor) -> Tensor:
    """(B, heads, N, size) -> (B, N, heads * size)"""
    return x.transpose(1, 2).flatten(2)
