"""Convolutions of 3 x 3 by a fourth of the multiplications, where a CPU only wants their result."""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import differentiated
from .norms import channels_last

STEP, SPAN = 4, 6
"""Sides of a tile of the result, and of what it is made from."""
POINTS = 0.0, 1.0, -1.0, 0.5, -2.0
"""Where polynomials are evaluated, infinity besides: small ones, and one the inverse of another, so that few digits are lost."""
ONES = 1 * SPAN + 1
"""The product at the point (1, 1), which all 16 results of a tile have once: what is added to it is added to them."""
NARROWEST, FEWEST = 192, 64
"""Channels and tiles below which the detour saves too little to be sure of."""
AT_ONCE = 128
"""Tiles whose products stay in a processor's cache."""


def helps(h: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether `convolved` is the quicker way to what is asked for: wide float32 on a CPU, nothing differentiated."""
    if h.ndim != 4 or weight.shape[2:] != (3, 3) or min(weight.shape[:2]) < NARROWEST:
        return False
    plain = h.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled(h.device.type)
    many = len(h) * tiles(h.shape[2]) * tiles(h.shape[3]) >= FEWEST
    quiet = not differentiated(h, weight, bias) and not torch.compiler.is_compiling()
    return h.device.type == "cpu" and plain and many and quiet


def convolved(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """F.conv2d(h, weight, bias, padding=1), for h (B, inner, *axes), as a sum over channels of products of polynomials.

        y = A' [sum over channels of (G w G') * (B' h B)] A      for tiles y of 4 x 4, h of 6 x 6, w of 3 x 3

    36 products a tile and channel in the place of 144, as 36 matrix products, some tiles at a time. Rounding errors are
    2e-6 of the result's size, those of direct sums 2e-7 to 9e-7, by the CPU and the layout in memory, which is kept: channels
    first, or last.

    Lavin & Gray 2015, https://arxiv.org/abs/1509.09308; on points: Barabasz et al. 2018, https://arxiv.org/abs/1803.10986
    """
    inner, outer, last = h.shape[1], len(weight), channels_last(h)
    rows, columns = tiles(h.shape[2]), tiles(h.shape[3])
    taps = (TAPS @ weight.permute(2, 3, 0, 1).flatten(0, 1).flatten(1)).view(SPAN**2, outer, inner)
    sides = rows * STEP, columns * STEP
    out = h.new_empty(len(h), *sides, outer).movedim(-1, 1) if last else h.new_empty(len(h), outer, *sides)
    tiled = out.unflatten(2, (rows, STEP)).unflatten(4, (columns, STEP))
    high = max(1, min(rows, AT_ONCE // columns))
    many = max(1, AT_ONCE // (rows * columns))
    for some in range(0, len(h), many):
        for row in range(0, rows, high):
            part = h[some : some + many]
            span = min(high, rows - row)
            d = windows(part, row * STEP, span, columns)
            if last:  # (36, places, channels)
                d = d.permute(0, 1, 2, 4, 5, 3).reshape(SPAN**2, -1)
                product = torch.bmm((DATA @ d).view(SPAN**2, -1, inner), taps.transpose(1, 2))
                product[ONES] += bias
                y = (RESULT @ product.view(SPAN**2, -1)).view(STEP, STEP, len(part), span, columns, outer)
                y = y.permute(2, 5, 3, 0, 4, 1)
            else:  # (36, channels, places)
                d = d.permute(0, 1, 3, 2, 4, 5).reshape(SPAN**2, -1)
                product = torch.bmm(taps, (DATA @ d).view(SPAN**2, inner, -1))
                product[ONES] += bias[:, None]
                y = (RESULT @ product.view(SPAN**2, -1)).view(STEP, STEP, outer, len(part), span, columns)
                y = y.permute(3, 2, 4, 0, 5, 1)
            tiled[some : some + many, :, row : row + span] = y
    out = out[:, :, : h.shape[2], : h.shape[3]]
    return out.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def windows(h: Tensor, top: int, rows: int, columns: int) -> Tensor:
    """The 6 x 6 that each tile of 4 x 4 is made from, overlapping, with zeros around h (B, C, *axes): a view
    (6, 6, B, C, rows, columns) of what lies from row `top` on.
    """
    above, below = top - 1, top + rows * STEP + 1
    sides = 1, 1 + columns * STEP - h.shape[3], max(0, -above), max(0, below - h.shape[2])
    h = F.pad(h[:, :, max(0, above) : below], sides)
    sample, channel, down, right = h.stride()
    shape = SPAN, SPAN, len(h), h.shape[1], rows, columns
    return h.as_strided(shape, (down, right, sample, channel, STEP * down, STEP * right))


def tiles(size: int) -> int:
    return -(-size // STEP)


def transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Of data (36, 36), of taps (36, 9) and of results (16, 36), for both axes at once: Toom and Cook's polynomials.

    Data meet the Lagrange polynomials of the points, taps and results their powers; of infinity the highest power.
    """
    data, taps, result = [], [], []
    for point in POINTS:
        others = [one for one in POINTS if one != point]
        data.append([*polynomial(others), 0.0])
        taps.append([point**k / prod(point - one for one in others) for k in range(3)])
        result.append([point**k for k in range(STEP)])
    data.append(polynomial(POINTS))
    taps.append([0.0, 0.0, 1.0])
    result.append([0.0] * (STEP - 1) + [1.0])
    both = (torch.tensor(one, dtype=torch.float64) for one in (data, taps, result))
    d, t, r = (torch.kron(one, one).float() for one in both)
    return d, t, r.T.contiguous()


def polynomial(roots: "tuple[float, ...] | list[float]") -> list[float]:
    """Coefficients of the product of (x - root), lowest power first."""
    found = [1.0]
    for root in roots:
        found = [up - root * here for up, here in zip([0.0, *found], [*found, 0.0])]
    return found


DATA, TAPS, RESULT = transforms()
