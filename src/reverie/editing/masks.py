"""Masks: white is painted anew, black is kept to the byte."""

import io
import warnings

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from ..errors import ReverieError, ReverieWarning, printable
from . import pictures
from .pictures import Picture

WHITE = 128
"""The level from which on a pixel counts as white."""
NEARLY = 8
"""How far from black or white a level may be without being grey: what JPEG leaves of an edge."""
TINT = (255, 0, 255)


def of(mask: Picture, picture: Tensor, invert: bool = False, resize: bool = False) -> Tensor:
    """bool (H, W), true where the picture (C, H, W) is to be painted anew: where the mask is white.

    Warns where nothing is white, where all is, and where pixels are neither white nor black. Raises ReverieError where there
    is no mask, or it has another size and `resize` is false.
    """
    if mask is None:
        raise ReverieError(
            "a mask is needed, a picture that is white where it should be painted anew: --mask FILE, or --box"
        )
    levels, name = pictures.levels_of(mask)
    levels = levels if len(levels) == 1 else pictures.brightness(levels)
    if levels.shape[-2:] != picture.shape[-2:]:
        (h, w), (H, W) = levels.shape[-2:], picture.shape[-2:]
        if not resize:
            raise ReverieError(f"{name} is {w} x {h} and the picture {W} x {H}: --resize-mask takes it to that size")
        levels = interpolate(levels[None].float(), (H, W), mode="nearest-exact")[0].to(torch.uint8)
    grey = int(((levels > NEARLY) & (levels < 255 - NEARLY)).sum())
    if grey:
        _warn(f"{grey:,} pixels of the mask are grey: those of level {WHITE} or more count as white")
    repaint = (levels[0] >= WHITE) ^ invert
    colour = "black" if invert else "white"
    if not repaint.any():
        _warn(f"the mask has no {colour} pixel, so nothing is painted anew: --invert-mask for one the other way round")
    elif repaint.all():
        _warn(f"the mask is {colour} everywhere, so nothing of the picture is kept")
    return repaint


def boxed(box: str, picture: Tensor) -> Tensor:
    """The mask (1, H, W) of 'left,top,width,height'. Raises ReverieError where that is no box in the picture (C, H, W)."""
    try:
        left, top, width, height = (int(part) for part in box.split(","))
    except ValueError:
        raise ReverieError(f"a box is 'left,top,width,height' in whole pixels, not {printable(box)!r}") from None
    H, W = picture.shape[-2:]
    if min(left, top) < 0 or min(width, height) < 1 or left + width > W or top + height > H:
        raise ReverieError(f"the box {left},{top},{width},{height} does not lie in a picture of {W} x {H}")
    mask = torch.zeros(1, H, W, dtype=torch.uint8)
    mask[:, top : top + height, left : left + width] = 255
    return mask


def _warn(text: str) -> None:
    warnings.warn(text, ReverieWarning, stacklevel=3)


def feathered(repaint: Tensor, width: int) -> Tensor:
    """(H, W) from 0 to 1: 0 wherever the picture is kept, and inside rising over `width` pixels from the border."""
    if width < 0:
        raise ReverieError(f"a feather has a width of 0 pixels or more, not {width}")
    inside = repaint[None, None].float()
    total = inside.clone()
    for _ in range(min(width, max(repaint.shape))):
        inside = 1 - max_pool2d(1 - inside, 3, 1, 1)
        total += inside
    return (total / (1 + width))[0, 0]


def composed(picture: Tensor, made: Tensor, repaint: Tensor, feather: int = 0) -> Tensor:
    """uint8 (N, C, H, W): `made` where it is to be painted anew, and the picture's own bytes elsewhere."""
    weight = feathered(repaint, feather)
    mixed = (picture + weight * (made.float() - picture)).round().clamp(0, 255).to(torch.uint8)
    return torch.where(repaint, mixed, picture)


def preview(picture: Tensor, repaint: Tensor) -> bytes:
    """A PNG of the picture, what is to be painted anew tinted."""
    from PIL import Image

    tint = torch.tensor(TINT)[:, None, None]
    colours = picture.expand(3, -1, -1).float() if len(picture) == 1 else picture[:3].float()
    shown = torch.where(repaint, (colours + tint) / 2, colours).to(torch.uint8)
    buffer = io.BytesIO()
    Image.fromarray(shown.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def said(repaint: Tensor) -> str:
    """What share is to be painted anew."""
    return f"white is painted anew: {100 * repaint.double().mean().item():.3g} % of the picture; preview.png shows it"
