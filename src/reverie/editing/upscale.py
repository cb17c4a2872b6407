"""A picture with more pixels."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..codecs.detail import enlarged
from ..codecs.latent import Latent
from ..codecs.pixels import Pixels
from ..core.denoisers import Beside
from ..errors import ReverieError
from ..posterior.operators.downsampling import Area
from ..systems.latent_upscaling import LatentUpscaling
from ..systems.super_resolution import SuperResolution
from .base import Edit, Edited, How, option, share
from .measuring import agreeing, limit, projected
from .pictures import told
from .working import Work

VARIED = 0.3
"""Strength in latents."""


@dataclass(frozen=True)
class Upscale(Edit):
    """Enlarge a picture by a whole factor: the mean of each block of the result is the pixel that it came from.

        p(x | y),    y = block means of x

    So colours stay what they were, to half a level; what is between comes from the model. One that `reverie train upscale`
    made knows enlarging alone: it does that better, and --noise is what it takes away of a noisy picture. A model that works
    in latents varies the picture enlarged by interpolation, as `vary` does, and the result is brought to these means.
    """

    enlarges = True

    factor: int = option(4, "how many times as wide and as high: 2, 4, 8, ...")
    strength: float | None = option(
        None,
        "how much the model adds: 1, the default, all that goes with the pixels, 0 nothing, pixels repeated; in latents "
        f"{VARIED}, as of vary",
    )
    method: str = option(
        "",
        "how it is made to agree with the picture: ddnm, the default, mmps, pigdm, diffpir, ...; a model of enlarging "
        "has its own",
    )
    noise: float = option(0.0, "deviation of the picture's noise in levels of 255, for a model of enlarging")

    def do(self, system, given, how):
        (picture,), f = given, self.factor
        latents = isinstance(system.codec, Latent)
        strength = (VARIED if latents else 1.0) if self.strength is None else self.strength
        share("strength", strength)
        if not 1 <= f <= 64:
            raise ReverieError(f"the factor is a whole number from 1 to 64, not {f}")
        height, width = f * picture.shape[-2], f * picture.shape[-1]
        limit(height, width)
        if isinstance(system, SuperResolution):
            return self.detailed(system, picture, how, (height, width), strength)
        if isinstance(system, LatentUpscaling):
            return self.painted(system, picture, how, (height, width), 1.0 if self.strength is None else strength)
        if self.noise:
            raise ReverieError(
                "--noise is for a model that `reverie train upscale` made: restore takes noise away here"
            )
        work, operator = Work(system, how, (height, width)), Area(f)
        level = work.level(strength)
        said, info = [f"noise level: {level}"], work.info(self, [told(picture)], level=level.t)
        if level.t == 0 or f == 1:
            large = picture.repeat_interleave(f, 1).repeat_interleave(f, 2)
            return Edited(large.expand(how.count, *large.shape).clone(), info, said)
        if latents:
            return self.varied(work, picture, level.t, said, info)
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

    def varied(self, work: Work, picture: Tensor, t: float, said: list[str], info: dict[str, Any]) -> Edited:
        """By a model that works in latents, from the noise level t: uint8 (C, H, W) enlarged, varied, brought to its means."""
        if self.method:
            raise ReverieError(
                "this model works in latents, where nothing can be made to agree with pixels: leave out --method"
            )
        pixels = Pixels()
        y = pixels.encode(picture[None])
        z, grid = work.encode(pixels.decode(enlarged(y, self.factor))[0]), work.times(t)
        said.append(f"{len(grid) - 1} steps from there, to {work.width} x {work.height}")
        made = work.decode(work.made(lambda eps, t: work.noised(z, t, eps), grid))
        return Edited(torch.cat([pixels.decode(projected(pixels.encode(one[None]), y, Area(self.factor))) for one in made]),
                      info, said)  # fmt: skip

    def painted(
        self, system: LatentUpscaling, picture: Tensor, how: How, size: tuple[int, int], strength: float
    ) -> Edited:
        """By a model of latents that sees the small picture: uint8 (C, H, W) to pictures of that size."""
        if self.method:
            raise ReverieError("this model was trained to enlarge, and does it in no other way: leave out --method")
        if self.factor != system.codec.factor:
            raise ReverieError(
                f"this model enlarges {system.codec.factor} times, and no more: leave out --factor, or repeat it"
            )
        if how.condition is None:
            raise ReverieError("this model is told what is to be seen: say --prompt, '' for nothing in particular")
        system = system.noisy(self.noise)
        work = Work(system, how, size)
        level, pixels = work.level(strength), Pixels()
        said = [f"noise level: {level}", f"the small picture is told with level {system.conditioner.level} of noise"]
        info, y = work.info(self, [told(picture)], level=level.t), pixels.encode(picture[None])
        plain = pixels.decode(enlarged(y, self.factor))
        if level.t == 0:
            return Edited(plain.expand(how.count, *plain.shape[1:]).clone(), info, said)
        z, grid = work.encode(plain[0]), work.times(level.t)
        said.append(f"{len(grid) - 1} steps from there, to {size[1]} x {size[0]}")
        maps = work.fit(system.noised(y, how.seed)).to(system.device)

        def start(eps: Tensor, t: Tensor) -> Tensor:
            return work.noised(z, t, eps) if level.t < 1 else system.start(eps, t)

        made = work.decode(work.made(start, grid, lambda one: Beside(one, maps)))
        if not self.noise:
            made = torch.cat([pixels.decode(projected(pixels.encode(one[None]), y, Area(self.factor))) for one in made])
        return Edited(made, info, said)

    def detailed(
        self, system: SuperResolution, picture: Tensor, how: How, size: tuple[int, int], strength: float
    ) -> Edited:
        """By a model of the detail that is missing: uint8 (C, H, W) to pictures of that size."""
        if self.method:
            raise ReverieError("this model was trained to enlarge, and does it in no other way: leave out --method")
        if not 0 <= self.noise <= 255:
            raise ReverieError(f"noise is a deviation from 0 to 255 levels, not {self.noise:g}")
        if how.condition is not None:
            raise ReverieError("this model knows no classes: leave out the label")
        system.codec.known(self.factor)
        work = Work(system, replace(how, condition={"factor": self.factor, "noise": self.noise}), size)
        level = work.level(strength)
        said, info = [f"noise level: {level}"], work.info(self, [told(picture)], level=level.t)
        y = system.codec.encode(picture[None])
        m = enlarged(y, self.factor)
        if level.t == 0:
            made = m.expand(how.count, *m.shape[1:])
        else:
            grid = work.times(level.t)
            said.append(f"{len(grid) - 1} steps from there, to {size[1]} x {size[0]}")
            maps = work.fit(system.codec.seen(m, self.factor)).to(system.device)
            nothing = torch.zeros_like(work.fit(m), device=system.device)
            z = work.made(lambda eps, t: work.noised(nothing, t, eps), grid, lambda one: Beside(one, maps))
            made = system.codec.picture(z, m, self.factor)
        if not self.noise:
            made = projected(made, y, Area(self.factor))
        return Edited(work.decode(made), info, said)
