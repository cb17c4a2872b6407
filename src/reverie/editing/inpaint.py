"""A part of a picture painted anew."""

from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ReverieError
from ..posterior.operators.mask import Mask
from . import masks
from .base import Edit, Edited, option, share
from .measuring import agreeing
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Inpaint(Edit):
    """Paint a part of a picture anew, so that it goes with the rest: the white part of --mask; black is kept to the byte.

        p(x | y),    y = x where the mask is black

    preview.png beside the result shows in magenta what is painted anew; --invert-mask for masks the other way round.
    """

    mask: Any = option(None, "a picture of the same size: white is painted anew, black is kept to the byte", "picture")
    box: str = option(
        "", "in place of a mask: left, top, width and height in pixels of what is painted anew, '8,8,12,12'"
    )
    invert_mask: bool = option(False, "black is painted anew, and white kept")
    resize_mask: bool = option(False, "take a mask of another size to that of the picture")
    feather: int = option(0, "pixels inside the white part over which the old goes over into the new")
    strength: float = option(1.0, "how much of what was there is forgotten: 1 all of it, 0 nothing")
    method: str = option("ddnm", "how it is made to go with the rest: ddnm, mmps, repaint, diffpir, ...")

    def do(self, system, given, how):
        share("strength", self.strength)
        (picture,) = given
        if self.box and self.mask is not None:
            raise ReverieError("say what is painted anew by a mask or by a box, not both")
        mask = masks.boxed(self.box, picture) if self.box else self.mask
        repaint = masks.of(mask, picture, self.invert_mask, self.resize_mask)
        masks.feathered(repaint[:1, :1], self.feather)
        return painted(self, system, how, picture, repaint, self.strength, self.feather, self.method)


def painted(verb, system, how, picture, repaint, strength, feather, method) -> Edited:
    """uint8 (C, H, W) painted anew where `repaint` (H, W) is true."""
    work = Work(system, how, picture.shape)
    level = work.level(strength)
    said = [masks.said(repaint), f"noise level: {level}"]
    files = {"preview.png": masks.preview(picture, repaint)}
    info = work.info(verb, [told(picture), told(repaint.to(torch.uint8))], level=level.t)
    if level.t == 0 or not repaint.any():
        return Edited(picture.expand(how.count, *picture.shape).clone(), info, said, files)
    z, grid = work.encode(picture), work.times(level.t)
    known = work.fit((~repaint)[None, None].float(), "constant")[0] > 0
    operator = Mask(known.to(system.device))
    change, sampler = agreeing(method, work, operator(z), operator, 0.0)
    said.append(f"{len(grid) - 1} steps from there")
    made = work.decode(work.made(lambda eps, t: work.noised(z, t, eps), grid, change, sampler=sampler))
    return Edited(masks.composed(picture, made, repaint, feather), info, said, files)
