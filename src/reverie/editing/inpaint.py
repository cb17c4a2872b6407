"""A part of a picture painted anew."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import ReverieError
from ..posterior.operators.mask import Mask
from ..samplers.base import Sampler
from ..systems.diffusion import Diffusion
from ..systems.inpainting import Inpainting
from . import masks
from .base import Edit, Edited, How, option, share
from .measuring import agreeing
from .pictures import told
from .working import Change, Work

METHOD = "how it is made to go with the rest: ddnm, the default, mmps, repaint, diffpir, ...; a model of inpainting has its own"


@dataclass(frozen=True)
class Inpaint(Edit):
    """Paint a part of a picture anew, so that it goes with the rest: the white part of --mask; black is kept to the byte.

        p(x | y),    y = x where the mask is black

    preview.png beside the result shows in magenta what is painted anew; --invert-mask for masks the other way round.
    """

    paints = True

    mask: Any = option(None, "a picture of the same size: white is painted anew, black is kept to the byte", "picture")
    box: str = option(
        "", "in place of a mask: left, top, width and height in pixels of what is painted anew, '8,8,12,12'"
    )
    invert_mask: bool = option(False, "black is painted anew, and white kept")
    resize_mask: bool = option(False, "take a mask of another size to that of the picture")
    feather: int = option(0, "pixels inside the white part over which the old goes over into the new")
    strength: float = option(1.0, "how much of what was there is forgotten: 1 all of it, 0 nothing")
    method: str = option("", METHOD)

    def do(self, system, given, how):
        share("strength", self.strength)
        (picture,) = given
        if self.box and self.mask is not None:
            raise ReverieError("say what is painted anew by a mask or by a box, not both")
        mask = masks.boxed(self.box, picture) if self.box else self.mask
        repaint = masks.of(mask, picture, self.invert_mask, self.resize_mask)
        masks.feathered(repaint[:1, :1], self.feather)
        return painted(self, system, how, picture, repaint, self.strength, self.feather, self.method)


def painted(
    verb: Edit,
    system: Diffusion,
    how: How,
    picture: Tensor,
    repaint: Tensor,
    strength: float,
    feather: int,
    method: str,
) -> Edited:
    """uint8 (C, H, W) painted anew where `repaint` (H, W) is true."""
    work = Work(system, how, picture.shape)
    level = work.level(strength)
    said = [masks.said(repaint), f"noise level: {level}"]
    files = {"preview.png": masks.preview(picture, repaint)}
    info = work.info(verb, [told(picture), told(repaint.to(torch.uint8))], level=level.t)
    if level.t == 0 or not repaint.any():
        return Edited(picture.expand(how.count, *picture.shape).clone(), info, said, files)
    z, grid, kept = work.encode(picture), work.times(level.t), work.kept(~repaint)
    sampler: Sampler | None = None
    if isinstance(system, Inpainting):
        if method:
            raise ReverieError(
                "this model was trained to paint parts anew, and does it in no other way: leave out --method"
            )
        change: Change = partial(system.beside_picture, raw=work.filled(picture), repaint=~kept)
    else:
        operator = Mask(kept[None].to(system.device))
        change, sampler = agreeing(method or "ddnm", work, operator(z), operator, 0.0)
    said.append(f"{len(grid) - 1} steps from there")

    def start(eps: Tensor, t: Tensor) -> Tensor:
        return work.noised(z, t, eps) if level.t < 1 else system.start(eps, t)

    made = work.decode(work.made(start, grid, change, sampler=sampler))
    return Edited(masks.composed(picture, made, repaint, feather), info, said, files)
