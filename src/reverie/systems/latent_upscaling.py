"""The system that enlarges pictures under a prompt: a diffusion model of the latents of large ones, which sees the small one."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..codecs.latent import Latent
from ..conditioning.text import LevelledText
from ..core import schedules
from ..core.noise import Seeded
from ..core.schedules import Schedule, Tabulated
from ..discover import construct, describe
from ..errors import ReverieError
from .bounds import modest
from .diffusion import Diffusion

NOTHING = "this model enlarges pictures and knows nothing else: reverie edit upscale RUN --image PICTURE --prompt TEXT"


class LatentUpscaling(Diffusion):
    """A diffusion model of latents z at as many positions as the small picture y has pixels, beside that picture with noise.

        z ~ p(z | y_l, l, prompt),    y_l = alpha_l y + sigma_l eps

    l is a level of the table `noising`, of which the first `most` were seen in training: noise hides what is wrong with y, so
    that more of it is painted anew. Ho et al. 2021, https://arxiv.org/abs/2106.15282; the upscaler of Stable Diffusion 2.
    """

    codec: Latent
    conditioner: LevelledText
    noising: Schedule = Tabulated((0.1, 0.2))
    most: int = 350

    @classmethod
    def beside(cls, shape):
        return {"maps": 3}

    def describe(self):
        return {**super().describe(), "noising": describe(self.noising), "most": self.most}

    @classmethod
    def build(cls, description: Mapping[str, Any]) -> "LatentUpscaling":
        parts = dict(description)
        schedule: Schedule = construct("schedule", schedules, Schedule, parts.pop("noising", None))
        modest("model.json: its noising", schedule)
        most = parts.pop("most", None)
        system = super().build(parts)
        assert isinstance(system, LatentUpscaling)
        if (
            type(most) is not int
            or not isinstance(system.conditioner, LevelledText)
            or not 0 < most <= system.conditioner.levels
        ):
            raise ReverieError("model.json describes no model that enlarges: its noise has no levels")
        system.noising, system.most = schedule, most
        return system

    def batches(self, n=16, **options):
        raise ReverieError(NOTHING)

    def generate(self, n=16, **options):
        raise ReverieError(NOTHING)

    def noisy(self, deviation: float) -> "LatentUpscaling":
        """The same, told the level whose noise is as large as the picture's, in levels of 255; of none as it is.

        Raises ReverieError where it is more than the model has seen.
        """
        if not deviation:
            return self
        if not 0 < deviation <= 255:
            raise ReverieError(f"noise is a deviation from 0 to 255 levels, not {deviation:g}")
        levels = self.conditioner.levels
        level = next((i for i in range(levels) if self.spread(i) >= deviation / 127.5), levels)
        if level > self.most:
            limit = 127.5 * self.spread(self.most)
            raise ReverieError(f"this model has seen noise of up to {limit:.0f} levels of 255, not {deviation:g}")
        found = copy.copy(self)
        found.conditioner = replace(self.conditioner, level=level)
        for name in ("_run", "_places"):
            if hasattr(self.conditioner, name):
                object.__setattr__(found.conditioner, name, getattr(self.conditioner, name))
        return found

    def spread(self, level: int) -> float:
        """Of the noise of a level, over how much of the picture is left."""
        alpha, sigma = self.at(level)
        return sigma / alpha

    def at(self, level: int) -> tuple[float, float]:
        alpha, sigma = self.noising(torch.tensor((level + 1) / self.conditioner.levels, dtype=torch.float64))
        return alpha.item(), sigma.item()

    def noised(self, y: Tensor, seed: int) -> Tensor:
        """y (1, C, H, W) in [-1, 1] at the level that the network is told."""
        alpha, sigma = self.at(self.conditioner.level)
        return alpha * y + sigma * Seeded.at(seed, [0], "picture").draw(y)
