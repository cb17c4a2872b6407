"""Two conditions, or two pictures, in one."""

from dataclasses import dataclass
from typing import Any

import torch

from ..discover import Plan
from ..errors import ReverieError
from ..guidance.composition import Composed
from ..systems.guiding import planned
from . import masks
from .base import Edit, Edited, option, share
from .invert import same_size
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Blend(Edit):
    """Blend two conditions (two --label, no picture) or two pictures (two --image).

    Conditions: each step follows the mean of both guesses, x_hat = (1 - weight) x_hat_1 + weight x_hat_2, a sample that
    `reverie replay` makes again. Pictures: their mean, or the second where --mask is white, noised to the level of --strength
    and denoised, so that they become one.
    """

    takes = (0, 2)
    weight: float = option(0.5, "of the second, from 0 to 1")
    strength: float = option(0.5, "of pictures: how much is free to change, from 0 to 1")
    mask: Any = option(None, "of pictures: the second is taken where it is white", "picture")
    invert_mask: bool = option(False, "the second is taken where the mask is black")
    resize_mask: bool = option(False, "take a mask of another size to that of the pictures")
    feather: int = option(0, "pixels inside the white part over which the first goes over into the second")

    def do(self, system, given, how):
        share("weight", self.weight)
        share("strength", self.strength)
        if len(given) == 1:
            raise ReverieError("blend takes two pictures, or none and two labels")
        return self.pictures(system, given, how) if given else self.conditions(system, how)

    def conditions(self, system, how) -> Edited:
        if not system.conditioner.keys:
            raise ReverieError("this model knows no conditions to blend: give two pictures")
        if not isinstance(how.condition, (list, tuple)) or len(how.condition) != 2:
            raise ReverieError("blend needs two conditions, --label twice, or two pictures")
        first, second = how.condition
        scale = system.defaults.scale if how.scale is None else how.scale
        mixed: Plan = Plan(Composed, (("others", (second,)), ("weights", (scale * self.weight,)),
                                      ("scale", scale * (1 - self.weight))))  # fmt: skip
        parts = list(system.batches(
            how.count, seed=how.seed, condition=[first], sampler=how.sampler, grid=how.grid, batch=how.batch,
            sample_steps=how.sample_steps, dtype=how.dtype, guidance=(mixed, *planned(how.guidance)), weak=how.weak,
            progress=how.progress,
        ))  # fmt: skip
        said = [f"{1 - self.weight:g} of {first} and {self.weight:g} of {second}"]
        return Edited(torch.cat([part.raw for part in parts]), dict(parts[0].info), said, samples=parts)

    def pictures(self, system, given, how) -> Edited:
        same_size(given)
        if self.mask is None and (self.feather or self.invert_mask or self.resize_mask):
            raise ReverieError("--feather, --invert-mask and --resize-mask are about a mask: give --mask")
        first, second = given
        work = Work(system, how, first.shape)
        level = work.level(self.strength)
        said, files = [f"noise level: {level}"], {}
        share = torch.full(first.shape[-2:], self.weight)
        if self.mask is not None:
            white = masks.of(self.mask, first, self.invert_mask, self.resize_mask)
            share, files = masks.feathered(white, self.feather), {"preview.png": masks.preview(first, white)}
        mean = (first + share * (second.float() - first)).round().to(torch.uint8)
        info = work.info(self, [told(first), told(second)], level=level.t)
        if level.t == 0:
            return Edited(mean.expand(how.count, *mean.shape).clone(), info, said, files)
        z, grid = work.encode(mean), work.times(level.t)
        said.append(f"{len(grid) - 1} steps from there")
        return Edited(work.decode(work.made(lambda eps, t: work.noised(z, t, eps), grid)), info, said, files)
