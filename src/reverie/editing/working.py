"""What every verb does: a model told how, from x_t at a noise level to pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from ..core.denoisers import Denoiser
from ..core.noise import Seeded
from ..core.processes import Gaussian
from ..discover import describe
from ..errors import ReverieError, unknown
from ..samplers.base import State
from ..systems.described import DTYPES
from ..systems.diffusion import Diffusion
from ..systems.guiding import check_weak, needs_null, settled
from ..training.memory import shortage
from .base import How
from .levels import Level, level, times
from .tiles import Tiled

Change = Callable[[Denoiser], Denoiser]
"""What a measurement makes of a denoiser."""


class Work:
    """A model and how it is sampled, settled for pictures of one size (C, H, W). Raises ReverieError."""

    def __init__(self, system: Diffusion, how: How, size: Sequence[int]) -> None:
        self.system, self.how = system, how
        # a scale that leads away from the model's own early self is for samples: edits are guided where they are asked to be
        usual = 1.0 if system.defaults.weak else system.defaults.scale
        self.plans, self.scale = settled(how.guidance, how.scale, usual)
        self.weak = how.weak or system.early(self.plans, self.scale)
        self.dtype = how.dtype or system.dtype
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        if needs_null(self.plans, self.scale, self.weak):
            system.needs_null()
        if self.weak is not None:
            check_weak(system, self.weak)
        self.sampler = how.sampler or system.defaults.sampler
        self.grid = system.grid(how.grid, how.sample_steps)
        self.height, self.width = size[-2:]
        self.tile, self.factor = system.shape[-2:], system.codec.factor
        self.padded: tuple[int, ...] = (max(self._places(self.height), self.tile[0]),
                                        max(self._places(self.width), self.tile[1]))  # fmt: skip
        """The size that is worked at, in positions of z: no smaller than a tile."""

    @property
    def schedule(self):
        return self.system.denoiser.schedule

    @property
    def tiled(self) -> bool:
        return self.padded != tuple(self.tile)

    def level(self, strength: float) -> Level:
        return level(self.schedule, strength, self.system.codec.std)

    def times(self, top: float) -> Tensor:
        return times(self.grid, self.schedule, top)

    def _places(self, pixels: int) -> int:
        """Positions of z that so many pixels take."""
        return -(-pixels // self.factor)

    def encode(self, picture: Tensor) -> Tensor:
        """z (1, C, *padded) of uint8 (C, H, W)."""
        return self.system.codec.encode(self.filled(picture)[None]).to(self.system.device)

    def filled(self, picture: Tensor) -> Tensor:
        """uint8 (C, H, W) at the size that is worked at, its last row and column repeated where it is smaller."""
        rows, columns = (
            torch.arange(side * self.factor).clamp(max=n - 1) for side, n in zip(self.padded, picture.shape[-2:])
        )
        return picture[:, rows][..., columns]

    def kept(self, pixels: Tensor) -> Tensor:
        """bool (*padded): the positions of z under which all of the picture's pixels, bool (H, W), are true; none beyond it."""
        H, W = (side * self.factor for side in self.padded)
        free = pad((~pixels)[None, None].float(), (0, W - pixels.shape[1], 0, H - pixels.shape[0]), value=1.0)
        return max_pool2d(free, self.factor)[0, 0] == 0

    def fit(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) at the size that is worked at, its last row and column repeated."""
        below, right = self.padded[0] - x.shape[-2], self.padded[1] - x.shape[-1]
        return pad(x, (0, right, 0, below), mode="replicate") if below or right else x

    def crop(self, x: Tensor) -> Tensor:
        """Without the positions that no pixel of the picture needs."""
        return x[..., : self._places(self.height), : self._places(self.width)]

    def batches(self) -> list[list[int]]:
        """The versions asked for, as many at a time as `batch` says, or one where a version is many tiles."""
        at_once = 1 if self.tiled else self.how.batch
        return [list(range(first, min(first + at_once, self.how.count))) for first in range(0, self.how.count, at_once)]

    def denoiser(self, rows: Sequence[int], condition: Any = ...) -> Denoiser:
        """Of these versions, each under its condition, guided; in tiles where the picture is no sample of the model."""
        if self.tiled:
            condition = self.how.condition if condition is ... else condition
            each = condition[rows[0] % len(condition)] if isinstance(condition, (list, tuple)) else condition
            inner = self._guided([0] * self.how.batch, each)
            return Tiled(inner, (self.tile[0], self.tile[1]), self.how.overlap, self.how.batch)
        return self._guided(rows, self.how.condition if condition is ... else condition)

    def _guided(self, rows: Sequence[int], condition: Any) -> Denoiser:
        values = self.system.values(rows, condition)
        return self.system.guided(values, len(rows), self.scale, self.dtype, self.plans, self.weak)

    def noise(self, rows: Sequence[int]) -> tuple[Seeded, Tensor]:
        """The streams of these versions, and the first unit noise (B, C, *padded) of each."""
        source = Seeded.at(self.how.seed, rows)
        return source, source.draw(
            torch.empty(len(rows), self.system.shape[0], *self.padded, device=self.system.device)
        )

    def noised(self, z: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t of z (1, C, H, W) for each noise (B, C, H, W)."""
        return Gaussian(self.schedule).draw(z.expand_as(eps), t, eps)

    def walk(
        self, denoiser: Denoiser, x_t: Tensor, grid: Tensor, source: Seeded, sampler: Any = None, done: float = 0.0,
        share: float = 1.0, seen: Callable[[State], None] = lambda state: None,
    ) -> Tensor:  # fmt: skip
        """x at the end of the grid; progress goes from `done` on by `share`. Raises ReverieError where it is not finite."""
        x, steps = x_t, len(grid) - 1
        with shortage(f"on {len(x_t)} pictures of {self.height} x {self.width}"):
            for k, state in enumerate((sampler or self.sampler).trajectory(denoiser, x_t, grid, source), 1):
                x = state.x_t
                seen(state)
                if self.how.progress:
                    self.how.progress(round(1000 * (done + share * k / steps)), 1000)
        if not x.isfinite().all():
            raise ReverieError("the edit is not finite numbers, and nothing was kept: try another sampler, more steps, a "
                               "smaller guidance scale, or float32")  # fmt: skip
        return x

    def made(
        self, start: Callable[[Tensor, Tensor], Tensor], grid: Tensor, change: Change = lambda denoiser: denoiser,
        seen: Callable[[State], None] = lambda state: None, sampler: Any = None,
        after: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> Tensor:  # fmt: skip
        """z (count, C, H, W) of all versions; `start(eps, t)` is x_t at the first time of the grid, `after` comes at its end."""
        found, parts = [], self.batches()
        for k, rows in enumerate(parts):
            source, eps = self.noise(rows)
            denoiser = change(self.denoiser(rows))
            x = self.walk(denoiser, start(eps, grid[0]), grid, source, sampler, k / len(parts), 1 / len(parts), seen)
            found.append(self.crop(after(x)).cpu())
        return torch.cat(found)

    def decode(self, z: Tensor) -> Tensor:
        """uint8 (N, C, H, W), one picture at a time: what is computed on the way is as large as one."""
        return torch.cat([self.system.codec.decode(one[None])[..., : self.height, : self.width] for one in z])

    def info(self, verb: Any, given: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """What made an edit, as plain data; a later command with the same words makes it again."""
        info = {
            "verb": type(verb).__name__.lower(), "options": plain(verb), "given": list(given), "seed": self.how.seed,
            "sampler": describe(self.sampler), "grid": describe(self.grid), "scale": self.scale, "dtype": self.dtype,
        }  # fmt: skip
        info |= {"guidance": [describe(one) for one in self.plans]} if self.plans else {}
        info |= {"condition": self.how.condition} if self.how.condition is not None else {}
        info |= {"tiles": {"size": list(self.tile), "overlap": self.how.overlap}} if self.tiled else {}
        return info | more


def plain(verb: Any) -> dict[str, Any]:
    """The options of a verb that are words and numbers; pictures are told by their levels."""
    return {key: value for key, value in vars(verb).items() if isinstance(value, (str, int, float, bool, tuple))
            and verb.__dataclass_fields__[key].metadata.get("kind") != "picture"}  # fmt: skip
