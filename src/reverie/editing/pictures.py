"""Pictures to edit: read from files that may be anything, or taken from memory, as uint8 (C, H, W)."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import pictures as files
from ..data.opening import Unusable
from ..errors import ReverieError, printable

Picture = Any
"""A path, a PIL picture, an array uint8 (H, W) or (H, W, C), or a tensor uint8 (C, H, W)."""


def of(picture: Picture, channels: int, grey: bool = False) -> Tensor:
    """uint8 (channels, H, W); a grey picture has equal channels where the model's has colour.

    Raises ReverieError where there is no such picture, or it is in colour for a model of grey ones and `grey` is false.
    """
    levels, name = levels_of(picture)
    if len(levels) == channels:
        return levels
    if channels == 1 and len(levels) == 3:
        if not grey:
            raise ReverieError(f"{name} is in colour, and this model makes grey pictures: --grey takes its brightness")
        return brightness(levels)
    if channels == 3 and len(levels) == 1:
        return levels.expand(3, -1, -1).contiguous()
    raise ReverieError(f"{name} has {len(levels)} channels, and this model makes pictures of {channels}")


def levels_of(picture: Picture) -> tuple[Tensor, str]:
    """(uint8 (1 or 3, H, W), what to call it). Raises ReverieError."""
    if isinstance(picture, (str, Path)):
        name = printable(str(picture))
        if not Path(picture).exists():
            raise ReverieError(f"{name} does not exist")
        try:
            array: Any = files.read(str(picture)).levels
        except Unusable as why:
            raise ReverieError(f"{name} is no picture to edit: {why}") from None
    else:
        name = "the picture"
        array = picture.permute(1, 2, 0).cpu().numpy() if isinstance(picture, Tensor) and picture.ndim == 3 else picture
        array = np.asarray(array)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
            raise ReverieError("a picture is a file, or uint8: an array (H, W) or (H, W, C), a tensor (C, H, W)")
    array = array[..., None] if array.ndim == 2 else array
    return torch.from_numpy(array.transpose(2, 0, 1).copy()), name


def brightness(levels: Tensor) -> Tensor:
    """uint8 (1, H, W) of (3, H, W): (299 R + 587 G + 114 B) / 1000. ITU-R BT.601"""
    weights = torch.tensor([299, 587, 114])[:, None, None]
    return ((levels.long() * weights).sum(0, keepdim=True) + 500).div(1000, rounding_mode="floor").to(torch.uint8)


def told(levels: Tensor) -> dict[str, Any]:
    """What a record says of a picture: its shape, and sha256 of its levels."""
    digest = hashlib.sha256(levels.contiguous().numpy().tobytes()).hexdigest()
    return {"shape": list(levels.shape), "sha256": digest}
