"""Variations of a picture."""

from dataclasses import dataclass

from .base import Edit, Edited, option, share
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Vary(Edit):
    """Noise a picture to the level that --strength asks for, and take the noise away again: the more, the less is kept.

        x_t = alpha_t x + sigma_t eps,    then N steps from t to 0

    Strength 0 returns the picture itself, 1 knows nothing of it. Meng et al. 2021, https://arxiv.org/abs/2108.01073
    """

    strength: float = option(
        0.5, "share of the way to pure noise, from 0 to 1; at 0.5 there is as much noise as picture"
    )

    def do(self, system, given, how):
        share("strength", self.strength)
        (picture,) = given
        work = Work(system, how, picture.shape)
        level = work.level(self.strength)
        said, info = [f"noise level: {level}"], work.info(self, [told(picture)], level=level.t)
        if level.t == 0:
            return Edited(picture.expand(how.count, *picture.shape).clone(), info, said)
        grid, z = work.times(level.t), work.encode(picture)
        said.append(f"{len(grid) - 1} steps from there")
        return Edited(work.decode(work.made(lambda eps, t: work.noised(z, t, eps), grid)), info, said)
