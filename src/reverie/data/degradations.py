"""Smaller and worse pictures of pictures x (B, C, H, W) in [-1, 1]."""

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def shrunk(x: Tensor, factor: int, kind: str = "area", blur: float = 0.5) -> Tensor:
    """x (B, C, H, W) by a factor that divides both sides; `blur` is the deviation of a Gaussian, in pixels of the result."""
    if kind == "cubic":
        size = [n // factor for n in x.shape[2:]]
        return F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
    if kind == "blurred":
        x = blurred(x, blur * factor)
    return F.avg_pool2d(x, factor)


def blurred(x: Tensor, std: float) -> Tensor:
    """x (B, C, H, W) under a Gaussian; borders are repeated."""
    reach = max(1, math.ceil(3 * std))
    w = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / std) ** 2)
    w = (w / w.sum()).to(x)
    channels = x.shape[1]
    x = F.pad(x, [reach] * 4, mode="replicate")
    x = F.conv2d(x, w.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, w.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def compressed(y: Tensor, quality: int) -> Tensor:
    """y (1, 1 or 3, H, W) through a JPEG file of that quality."""
    from PIL import Image

    array = ((y[0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(file, "JPEG", quality=quality)
    back = np.asarray(Image.open(file, formats=["JPEG"])).reshape(array.shape)
    return torch.from_numpy(back.transpose(2, 0, 1).copy())[None].to(y) / 127.5 - 1


def levels(y: Tensor) -> Tensor:
    """y in [-1, 1] as 256 levels have it."""
    return ((y.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
