"""A grey picture in colour."""

from dataclasses import dataclass

from ..errors import ReverieError
from ..posterior.operators.greyscale import Greyscale
from .base import Edit, Edited, option
from .measuring import agreeing, projected
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Colorize(Edit):
    """Give a grey picture colours; its brightness stays, and that of a picture in colour is all that is taken of it.

        p(x | y),    y = 0.299 R + 0.587 G + 0.114 B of x

    Only for models of pictures in colour.
    """

    latents = False

    method: str = option("ddnm", "how it is made to agree with the brightness: ddnm, mmps, pigdm, diffpir, ...")

    def do(self, system, given, how):
        if system.shape[0] != 3:
            raise ReverieError(
                "this model makes grey pictures, so it knows no colours: take a model of pictures in colour"
            )
        (picture,) = given
        work, operator = Work(system, how, picture.shape), Greyscale()
        level = work.level(1.0)
        z = work.encode(picture)
        y, grid = operator(z), work.times(1.0)
        z = y.expand_as(z)
        change, sampler = agreeing(self.method, work, y, operator, 0.0)
        made = work.made(lambda eps, t: work.noised(z, t, eps), grid, change, sampler=sampler,
                         after=lambda x: projected(x, y, operator))  # fmt: skip
        return Edited(work.decode(made), work.info(self, [told(picture)]),
                      [f"noise level: {level}", f"{len(grid) - 1} steps from there"])  # fmt: skip
