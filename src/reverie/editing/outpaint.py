"""A picture that goes on beyond its borders."""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from ..errors import ReverieError
from .base import Edit, Edited, option
from .inpaint import METHOD, painted
from .measuring import limit


@dataclass(frozen=True)
class Outpaint(Edit):
    """Go on with a picture beyond its borders, by so many pixels on each side; its own pixels are kept to the byte.

    Inpainting of a larger canvas, whose new part is shown in magenta by preview.png.
    """

    paints = True

    left: int = option(0, "pixels to add on the left")
    right: int = option(0, "pixels to add on the right")
    top: int = option(0, "pixels to add above")
    bottom: int = option(0, "pixels to add below")
    method: str = option("", METHOD)

    def do(self, system, given, how) -> Edited:
        (picture,) = given
        sides = self.left, self.right, self.top, self.bottom
        if min(sides) < 0 or not any(sides):
            raise ReverieError("say how many pixels to add, 0 or more on each side: --left, --right, --top, --bottom")
        height, width = picture.shape[-2] + self.top + self.bottom, picture.shape[-1] + self.left + self.right
        limit(height, width)
        canvas = pad(picture[None].float(), sides, mode="constant", value=127)[0].to(torch.uint8)
        repaint = pad(torch.zeros(picture.shape[-2:]), sides, value=1) > 0
        return painted(self, system, how, canvas, repaint, 1.0, 0, self.method)
