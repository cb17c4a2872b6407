"""Augmentations: changes of a sample that are told to the network, so that more is learned and nothing leaks."""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.noise import Noise
from ..errors import ReverieError


class Draws(NamedTuple):
    """What is random about one change: each part happens where its uniform number lies below the probability."""

    probability: float
    uniform: list[float]
    normal: list[float]

    def happens(self, i: int) -> bool:
        return self.uniform[i] < self.probability


class Transformation(abc.ABC):
    """A change of one sample x (C, *axes), with numbers of about unit size that say which: zero if and only if x is left
    as it was. Concrete ones are frozen dataclasses.
    """

    names: tuple[str, ...]
    """Of the numbers."""
    uniforms: int
    normals: int = 0
    """How many of each it draws, whatever comes of them."""

    @abc.abstractmethod
    def __call__(self, x: Tensor, draws: Draws) -> tuple[Tensor, Sequence[float]]: ...


@dataclass(frozen=True)
class Mirror(Transformation):
    """One axis backwards, half of the times that the draw allows it."""

    axis: int = -1
    uniforms = 2

    @property
    def names(self):
        return (f"mirror_{-self.axis}",)

    def __call__(self, x, draws):
        if draws.happens(0) and draws.uniform[1] < 0.5:
            return x.flip(self.axis), [1.0]
        return x, [0.0]


@dataclass(frozen=True)
class Turn(Transformation):
    """A square picture by 0 to 3 quarter turns: said as (cos - 1, sin) of the angle."""

    names = ("turn_cos", "turn_sin")
    uniforms = 2

    def __call__(self, x, draws):
        quarters = int(4 * draws.uniform[1]) if draws.happens(0) else 0
        said = [(0.0, 0.0), (-1.0, 1.0), (-2.0, 0.0), (-1.0, -1.0)][quarters]
        return (x.rot90(quarters, (-2, -1)) if quarters else x), said


@dataclass(frozen=True)
class Shift(Transformation):
    """By whole positions along each of `axes` axes, normal with a deviation of `std` times the length; borders reflect."""

    axes: int = 2
    std: float = 0.125
    uniforms = 1

    @property
    def names(self):
        return tuple(f"shift_{axis}" for axis in range(self.axes, 0, -1))

    @property
    def normals(self):
        return self.axes

    def __call__(self, x, draws):
        said = [0.0] * self.axes
        if draws.happens(0):
            for axis, (n, z) in enumerate(zip(x.shape[1:], draws.normal, strict=True)):
                if n > 1 and (by := round(self.std * n * z)):
                    x, said[axis] = shifted(x, axis + 1, by), by / (self.std * n)
        return x, said


@dataclass(frozen=True)
class Warp(Transformation):
    """Scaled, rotated and stretched about the middle, each where the draw allows it, in one resampling of a picture.

        scale 2^(std w),    rotation by an angle of the whole circle,    stretch 2^(std v) along one direction and
                                                                         2^(-std v) across it,    w, v ~ N(0, 1)

    Said as w; (cos - 1, sin) of the angle; and v (cos, sin) of twice the direction, which is the same for opposite ones.
    """

    std: float = 0.2
    names = ("scale", "rotation_cos", "rotation_sin", "stretch_cos", "stretch_sin")
    uniforms = 5
    normals = 2

    def __call__(self, x, draws):
        w = draws.normal[0] if draws.happens(0) else 0.0
        angle = 2 * math.pi * draws.uniform[3] if draws.happens(1) else 0.0
        v = draws.normal[1] if draws.happens(2) else 0.0
        twice = 2 * math.pi * draws.uniform[4]
        said = [w, math.cos(angle) - 1, math.sin(angle), v * math.cos(twice), v * math.sin(twice)]
        if not any(said):
            return x, said
        return warped(x, 2 ** (self.std * w), angle, 2 ** (self.std * v), twice / 2), said


@dataclass(frozen=True)
class Augmentation:
    """Transformations in turn, each with the same probability, of samples z (B, C, *axes) as the network sees them.

    All that is random about a sample comes from its own stream, in the same number of draws whatever comes of them.
    Karras et al. 2022, https://arxiv.org/abs/2206.00364, appendix F.2
    """

    transformations: tuple[Transformation, ...]
    probability: float

    @classmethod
    def of(cls, shape: Sequence[int], probability: float, pictures: bool = True) -> "Augmentation":
        """What suits samples (C, *axes): mirrors and shifts along every axis; of pictures all, and quarter turns where
        they are square. Raises ReverieError where there is nothing to change.
        """
        axes = tuple(shape[1:])
        if max(axes) < 2:
            raise ReverieError(f"--augment mirrors and shifts, and samples of {'x'.join(map(str, shape))} have a single "
                               "position: leave it out")  # fmt: skip
        mirrors = tuple(Mirror(i - len(axes)) for i, n in enumerate(axes) if n > 1)
        shift = Shift(len(axes))
        if not pictures or len(axes) != 2 or min(axes) < 2:
            return cls((*mirrors, shift), probability)
        if axes[0] == axes[1]:  # with both mirrors, half a turn would have two names
            return cls((Mirror(-1), Turn(), Warp(), shift), probability)
        return cls((*mirrors, Warp(), shift), probability)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for one in self.transformations for name in one.names)

    def __str__(self) -> str:
        kinds = ", ".join(dict.fromkeys(type(one).__name__.lower() for one in self.transformations))
        return f"augmented: {kinds}, each with probability {self.probability:g}, told to the network"

    def __call__(self, z: Tensor, noise: Noise) -> tuple[Tensor, dict[str, Tensor]]:
        """(z changed, {augmentation: what was done (B, len(names))}): float32, zeros where a sample was left as it was."""
        uniform = noise.uniform(torch.empty(len(z), sum(one.uniforms for one in self.transformations))).tolist()
        normal = noise.draw(torch.empty(len(z), sum(one.normals for one in self.transformations))).tolist()
        changed, done = [], []
        for x, u, n in zip(z, uniform, normal, strict=True):
            said: list[float] = []
            for one in self.transformations:
                x, numbers = one(x, Draws(self.probability, u[: one.uniforms], n[: one.normals]))
                u, n, said = u[one.uniforms :], n[one.normals :], [*said, *numbers]
            changed.append(x)
            done.append(said)
        return torch.stack(changed), {"augmentation": torch.tensor(done, dtype=torch.float32)}


def shifted(x: Tensor, axis: int, by: int) -> Tensor:
    """Position i of the axis to i + by; what comes in is the sample mirrored at its border."""
    n = x.shape[axis]
    i = (torch.arange(n, device=x.device) - by) % max(2 * (n - 1), 1)
    return x.index_select(axis, torch.minimum(i, 2 * (n - 1) - i))


def warped(x: Tensor, scale: float, angle: float, stretch: float, direction: float) -> Tensor:
    """x (C, H, W) scaled, then turned counter-clockwise, then stretched along a direction, about its middle.

        x'(p) = x(M^-1 p),    M = D R scale,    D = cosh(s) + sinh(s) [cos 2d, sin 2d; sin 2d, -cos 2d],  s = log stretch

    Cubic, in the type of x; borders reflect. Keys 1981, https://doi.org/10.1109/TASSP.1981.1163711
    """
    size = torch.tensor([x.shape[-1], x.shape[-2]], dtype=torch.float64)
    column, row = (torch.arange(int(n), dtype=torch.float64) - (n - 1) / 2 for n in size)
    p = torch.stack(torch.meshgrid(column, -row, indexing="xy"), 2)  # upwards, as angles are counted
    cos, sin, s = math.cos(angle), math.sin(angle), math.log(stretch)
    along = torch.tensor([[math.cos(2 * direction), math.sin(2 * direction)],
                          [math.sin(2 * direction), -math.cos(2 * direction)]], dtype=torch.float64)  # fmt: skip
    back = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64) / scale
    inverse = back @ (math.cosh(s) * torch.eye(2, dtype=torch.float64) - math.sinh(s) * along)
    source = p @ inverse.T * torch.tensor([1.0, -1.0], dtype=torch.float64)
    grid = (source / ((size - 1) / 2)).to(x.dtype)
    return F.grid_sample(x[None], grid[None], mode="bicubic", padding_mode="reflection", align_corners=True)[0]
