"""The way from one picture to another."""

from dataclasses import dataclass, replace

import torch

from ..errors import ReverieError
from .base import Edit, Edited, option, share
from .invert import same_size
from .inverting import between, inverted, two_way
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Interpolate(Edit):
    """Make the pictures between two: both are walked up to noise, and what lies between on the arc is walked down again.

    The first and the last are the two themselves. Lower strength stays nearer to a cross-fade. Song et al. 2020,
    https://arxiv.org/abs/2010.02502
    """

    takes = (2, 2)
    versions = False
    frames: int = option(8, "pictures in all, the two included")
    strength: float = option(1.0, "how far up the two are walked: 1 to pure noise")

    def do(self, system, given, how):
        share("strength", self.strength)
        if not 2 <= self.frames <= 4096:
            raise ReverieError(f"frames are 2 to 4096, the two pictures included, not {self.frames}")
        if isinstance(how.condition, (list, tuple)) and len(how.condition) > 1:
            raise ReverieError("interpolate takes one label, for both pictures and all between: leave out the others")
        same_size(given)
        sampler = two_way(how.sampler)
        work = Work(system, replace(how, sampler=sampler, count=self.frames), given[0].shape)
        level = work.level(self.strength)
        said, info = [f"noise level: {level}"], work.info(self, [told(one) for one in given], level=level.t)
        first, last = (work.encode(one) for one in given)
        if level.t == 0:
            mixed = torch.cat([first.lerp(last, i / (self.frames - 1)) for i in range(self.frames)])
            return self.between_ends(work.decode(work.crop(mixed)), given, info, said)
        grid = work.times(level.t)
        said.append(f"{len(grid) - 1} steps up and {len(grid) - 1} down by {type(sampler).__name__.lower()}")
        up = [inverted(sampler, work.denoiser([0]), z, grid) for z in (first, last)]
        found, parts = [], work.batches()
        for k, rows in enumerate(parts):
            x_t = torch.cat([between(up[0], up[1], i / (self.frames - 1)) for i in rows])
            source, _ = work.noise(rows)
            x = work.walk(work.denoiser(rows), x_t, grid, source, sampler, k / len(parts), 1 / len(parts))
            found.append(work.crop(x).cpu())
        return self.between_ends(work.decode(torch.cat(found)), given, info, said)

    def between_ends(self, raw, given, info, said) -> Edited:
        raw[0], raw[-1] = given
        return Edited(raw, info, said)
