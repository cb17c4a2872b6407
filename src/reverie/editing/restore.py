"""A spoiled picture made good."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import ReverieError
from ..posterior.operators.base import Operator
from ..posterior.operators.blur import GaussianBlur, MotionBlur
from ..posterior.operators.quantisation import Quantisation
from .base import Edit, Edited, option
from .levels import LEAST
from .measuring import agreeing, fits
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Restore(Edit):
    """Undo what spoiled a picture: a blur, few levels, noise, or a blur and noise. Say how it was spoiled, and by how much.

        p(x | y),    y = A(x) + std n

    Noise alone needs no approximation: y is x_t / alpha_t at the time when sigma_t / alpha_t is its deviation, and is
    walked down from there.
    """

    latents = False

    blur: float = option(0.0, "deviation of a Gaussian blur, in pixels")
    motion: float = option(0.0, "length of a motion blur, in pixels")
    angle: float = option(0.0, "of the motion, in degrees from the horizontal")
    levels: int = option(0, "the picture was rounded to so many levels")
    noise: float = option(0.0, "deviation of the noise, in levels of 255")
    method: str = option(
        "", "how it is made to agree with the picture: mmps, dps, ddrm, ...; chosen by what spoiled it"
    )

    def do(self, system, given, how):
        (picture,) = given
        work = Work(system, how, picture.shape)
        operator = self.operator()
        if not 0 <= self.noise <= 255:
            raise ReverieError(f"noise has a deviation from 0 to 255 levels, not {self.noise:g}")
        std, info = self.noise / 127.5, [told(picture)]
        y = work.encode(picture)
        if operator is None:
            return self.denoised(work, y, std, info)
        fits(operator, tuple(y.shape[1:]))
        std = max(std, 1 / 127.5 / 12**0.5)  # that of rounding to bytes
        std = operator.std if isinstance(operator, Quantisation) else std
        method = self.method or ("ddnm" if isinstance(operator, Quantisation) else "ddrm")
        change, sampler = agreeing(method, work, y, operator, std)
        level, grid = work.level(1.0), work.times(1.0)
        made = work.made(lambda eps, t: work.noised(y, t, eps), grid, change, sampler=sampler)
        return Edited(work.decode(made), work.info(self, info, method=method),
                      [f"noise level: {level}", f"{len(grid) - 1} steps from there, by {method}"])  # fmt: skip

    def operator(self) -> Operator | None:
        """What spoiled the picture besides noise. Raises ReverieError where nothing did, or several things."""
        made = [one for one in (
            GaussianBlur(self.blur) if self.blur else None,
            MotionBlur(self.motion, self.angle) if self.motion else None,
            Quantisation(self.levels) if self.levels else None,
        ) if one is not None]  # fmt: skip
        if len(made) > 1:
            raise ReverieError("say one of --blur, --motion and --levels: their order would matter")
        if not made and not self.noise:
            raise ReverieError("say what spoiled the picture: --blur, --motion, --levels or --noise")
        return made[0] if made else None

    def denoised(self, work: Work, y: Tensor, std: float, given: list[dict[str, Any]]) -> Edited:
        """Without noise of one's own: what is in the picture is that of its time."""
        if std < LEAST:
            return Edited(work.decode(work.crop(y).expand(work.how.count, -1, -1, -1)), work.info(self, given, level=0.0),
                          ["less noise than float32 has digits for: nothing to take away"])  # fmt: skip
        t = work.schedule.time(-2 * math.log(std)).item()
        grid = work.times(t)
        alpha_t = work.schedule(grid[0])[0].item()
        made = work.made(lambda eps, t: (alpha_t * y).expand_as(eps), grid)
        said = [f"noise level: t = {t:.4g}, that of the noise in the picture", f"{len(grid) - 1} steps from there"]
        return Edited(work.decode(made), work.info(self, given, level=t), said)
