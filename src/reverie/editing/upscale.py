"""A picture with more pixels."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..codecs.detail import enlarged
from ..core.denoisers import Given
from ..errors import ReverieError
from ..posterior.operators.downsampling import Area
from ..systems.super_resolution import SuperResolution
from .base import Edit, Edited, How, option, share
from .measuring import agreeing, limit, projected
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Upscale(Edit):
    """Enlarge a picture by a whole factor: the mean of each block of the result is the pixel that it came from.

        p(x | y),    y = block means of x

    So colours stay what they were, to half a level; what is between comes from the model. One that `reverie train upscale`
    made knows enlarging alone: it does that better, and --noise is what it takes away of a noisy picture.
    """

    enlarges = True

    factor: int = option(4, "how many times as wide and as high: 2, 4, 8, ...")
    strength: float = option(
        1.0, "how much the model adds: 1 all that goes with the pixels, 0 nothing, pixels repeated"
    )
    method: str = option(
        "",
        "how it is made to agree with the picture: ddnm, the default, mmps, pigdm, diffpir, ...; a model of enlarging "
        "has its own",
    )
    noise: float = option(0.0, "deviation of the picture's noise in levels of 255, for a model of enlarging")

    def do(self, system, given, how):
        share("strength", self.strength)
        (picture,), f = given, self.factor
        if not 1 <= f <= 64:
            raise ReverieError(f"the factor is a whole number from 1 to 64, not {f}")
        height, width = f * picture.shape[-2], f * picture.shape[-1]
        limit(height, width)
        if isinstance(system, SuperResolution):
            return self.detailed(system, picture, how, (height, width))
        if self.noise:
            raise ReverieError(
                "--noise is for a model that `reverie train upscale` made: restore takes noise away here"
            )
        work, operator = Work(system, how, (height, width)), Area(f)
        level = work.level(self.strength)
        said, info = [f"noise level: {level}"], work.info(self, [told(picture)], level=level.t)
        if level.t == 0 or f == 1:
            large = picture.repeat_interleave(f, 1).repeat_interleave(f, 2)
            return Edited(large.expand(how.count, *large.shape).clone(), info, said)
        work.padded = tuple(-(-side // f) * f for side in work.padded)
        y = system.codec.encode(picture[None])
        y = pad(y, (0, work.padded[1] // f - y.shape[-1], 0, work.padded[0] // f - y.shape[-2]), mode="replicate")
        y = y.to(system.device)
        z = operator.pseudo_inverse(y)
        grid = work.times(level.t)
        said.append(f"{len(grid) - 1} steps from there, to {width} x {height}")
        change, sampler = agreeing(self.method or "ddnm", work, y, operator, 0.0)
        made = work.made(lambda eps, t: work.noised(z, t, eps), grid, change, sampler=sampler,
                         after=lambda x: projected(x, y, operator))  # fmt: skip
        return Edited(work.decode(made), info, said)

    def detailed(self, system: SuperResolution, picture: Tensor, how: How, size: tuple[int, int]) -> Edited:
        """By a model of the detail that is missing: uint8 (C, H, W) to pictures of that size."""
        if self.method:
            raise ReverieError("this model was trained to enlarge, and does it in no other way: leave out --method")
        if not 0 <= self.noise <= 255:
            raise ReverieError(f"noise is a deviation from 0 to 255 levels, not {self.noise:g}")
        if how.condition is not None:
            raise ReverieError("this model knows no classes: leave out the label")
        spread = system.codec.spread(self.factor)
        work = Work(system, replace(how, condition={"factor": self.factor, "noise": self.noise}), size)
        work.how = work.how if work.tiled else replace(work.how, batch=1)  # each version beside the same picture
        level = work.level(self.strength)
        said, info = [f"noise level: {level}"], work.info(self, [told(picture)], level=level.t)
        y = system.codec.encode(picture[None])
        m = enlarged(y, self.factor)
        if level.t == 0:
            made = m.expand(how.count, *m.shape[1:])
        else:
            grid = work.times(level.t)
            said.append(f"{len(grid) - 1} steps from there, to {size[1]} x {size[0]}")
            maps = work.fit(m).to(system.device)
            z = work.made(
                lambda eps, t: work.noised(torch.zeros_like(maps), t, eps), grid, lambda one: Given(one, {"maps": maps})
            )
            made = m + spread * z
        if not self.noise:
            made = projected(made, y, Area(self.factor))
        return Edited(work.decode(made), info, said)
