"""Group norm with what comes right after it: a scale and a shift for each sample, and an activation."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .compiling import Compilable, kernel


class Norm(nn.GroupNorm, Compilable):
    """silu((1 + scale) norm(h) + shift), for h (B, C, *axes), scale and shift (B, C), each part where it is asked for.

    Where channels come last in memory it is one pass to sum and one to write, in float32 within: PyTorch's own kernel
    takes up to twenty times as long there as where they come first. `compiled` turns the passes into kernels for this
    machine.
    """

    def __init__(self, width: int, groups: int) -> None:
        """`groups` at most: their common divisor with the width."""
        super().__init__(math.gcd(groups, width), width)

    def forward(
        self, h: Tensor, scale: Tensor | None = None, shift: Tensor | None = None, activate: bool = False
    ) -> Tensor:
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if scale is not None and shift is not None:
            weight, bias = weight * (1 + scale), bias * (1 + scale) + shift
        if channels_last(h):
            shape = len(h), self.num_channels
            rows = Rows.apply(rows_of(h), weight.expand(shape), bias.expand(shape), self.num_groups, self.eps,
                              activate, self.compiled)  # fmt: skip
            return rows.unflatten(1, h.shape[2:]).movedim(-1, 1)
        if scale is None:
            out = F.group_norm(h, self.num_groups, weight, bias, self.eps)
        else:  # the norm of B samples of C channels is that of one of B * C, each with its own weight and bias
            whole = h.reshape(1, -1, *h.shape[2:])
            out = torch.group_norm(whole, len(h) * self.num_groups, weight.flatten(), bias.flatten(), self.eps)
        return F.silu(out.view_as(h)) if activate else out.view_as(h)


def channels_last(h: Tensor) -> bool:
    """Whether the channels of h (B, C, *axes) are its fastest axis."""
    return h.ndim > 3 and h.shape[1] > 1 and h.stride(1) == 1 and not h.is_contiguous()


def rows_of(h: Tensor) -> Tensor:
    """h (B, C, *axes) as positions of channels (B, N, C); a view, where channels come last."""
    return h.movedim(1, -1).flatten(1, -2)


class Rows(torch.autograd.Function):
    """act(weight norm(h) + bias), for h (B, N, C), weight and bias (B, C), groups of neighbouring channels.

        z = a h + b,    a = weight r,    b = bias - m a

    with the mean m and the inverse deviation r of a group. Backward, with n entries in a group and dz = act'(z) dy:

        dbias = sum dz,    dweight = r (sum dz h - m sum dz),
        dh = a dz - r / n (sum weight dbias) - (h - m) r^2 / n (sum weight dweight),   sums over channels of a group
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, activate: bool,
                compiled: bool) -> Tensor:  # fmt: skip
        h, weight, bias = h.detach(), weight.detach(), bias.detach()  # the compiler warns of tensors inside a graph
        pivot = wide(h[:, 0])
        sums = kernel(moments, compiled)(h, pivot)  # from an entry of the channel: no digits cancel
        mean, square = (one.div_(h.shape[1]) for one in sums)
        within = square.addcmul_(mean, mean, value=-1).unflatten(1, (groups, -1))
        mean = mean.add_(pivot).unflatten(1, (groups, -1))
        m = mean.mean(2, keepdim=True)
        between = mean.sub_(m).square_().mean(2, keepdim=True)
        r = within.mean(2, keepdim=True).add_(between).add_(eps).rsqrt_()
        dtype, weight, bias = weight.dtype, wide(weight), wide(bias)
        a = (weight.unflatten(1, (groups, -1)) * r).flatten(1)
        b = torch.addcmul(bias.unflatten(1, (groups, -1)), m, a.unflatten(1, (groups, -1)), value=-1).flatten(1)
        ctx.save_for_backward(h, weight, m, r, a, b)
        ctx.activate, ctx.compiled, ctx.dtype = activate, compiled, dtype
        return kernel(written, compiled)(h, a, b, activate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, m, r, a, b = ctx.saved_tensors
        own = kernel(before, ctx.compiled)(h, dy, a, b) if ctx.activate else None
        dz = dy.contiguous() if own is None else own
        dbias, along = kernel(gradient_sums, ctx.compiled)(h, dz)
        grouped = lambda v: v.unflatten(1, (m.shape[1], -1))
        dweight = torch.addcmul(grouped(along), m, grouped(dbias), value=-1).mul_(r).flatten(1)
        n = h.shape[1] * h.shape[2] // m.shape[1]
        slope = grouped(weight * dweight).sum(2, keepdim=True).mul_(r).mul_(r).div_(-n)
        constant = grouped(weight * dbias).sum(2, keepdim=True).mul_(r).div_(-n).addcmul_(m, slope, value=-1)
        slope, constant = (one.expand_as(grouped(a)).flatten(1) for one in (slope, constant))
        dh = kernel(gradient, ctx.compiled)(h, dz, a, slope, constant, own)
        return dh, dweight.to(ctx.dtype), dbias.to(ctx.dtype), None, None, None, None


def moments(h: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    h = wide(h) - pivot[:, None]
    return h.sum(1), (h * h).sum(1)


def written(h: Tensor, a: Tensor, b: Tensor, activate: bool) -> Tensor:
    z = wide(h) * a[:, None] + b[:, None]
    return (z * torch.sigmoid(z) if activate else z).to(h.dtype)


def before(h: Tensor, dy: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """dz, the gradient before the activation: written down, for inside two sums the compiler would write it in float32."""
    z = wide(h) * a[:, None] + b[:, None]
    s = torch.sigmoid(z)
    return (wide(dy) * s * (1 + z * (1 - s))).to(h.dtype)


def gradient_sums(h: Tensor, dz: Tensor) -> tuple[Tensor, Tensor]:
    h, dz = wide(h), wide(dz)
    return dz.sum(1), (dz * h).sum(1)


def gradient(h: Tensor, dz: Tensor, a: Tensor, slope: Tensor, constant: Tensor, out: Tensor | None) -> Tensor:
    """dh, in the memory of `out` where that is given."""
    dh = wide(dz) * a[:, None] + wide(h) * slope[:, None] + constant[:, None]
    return dh.to(h.dtype) if out is None else out.copy_(dh)


def wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
