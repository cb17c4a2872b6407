"""A denoiser of pictures of any size, from one of tiles."""

import itertools

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..core.denoisers import Denoiser, Estimate
from ..core.windows import ramps, starts


class Tiled(Denoiser):
    """The average of the guesses of overlapping tiles, at every noise level:

        x_hat = sum_i w_i x_hat_i(x_t in tile i),    sum_i w_i = 1

    The weights of a tile rise over what it shares with its neighbour as a squared sine, under which borders show less than
    where they rise linearly. The least squares answer to all tiles at once: Bar-Tal et al. 2023,
    https://arxiv.org/abs/2302.08113, with weights.

    `denoiser` is asked about `rows` tiles at a time, those of one picture (1, C, H, W), each under the condition of its
    row; its memory, where guidance has some, is kept tile by tile. Where gradients are wanted, tiles are computed again
    instead of kept. So what a network needs is that of `rows` tiles, however large the picture. Of `maps` (1, M, H, W)
    that are known of the picture each tile gets its own part.
    """

    remembers = ("instances",)

    def __init__(self, denoiser: Denoiser, tile: tuple[int, int], overlap: float = 0.25, rows: int = 16) -> None:
        """tile (H, W) in pixels, `overlap` the least share of it that two neighbours have in common."""
        super().__init__()
        self.denoiser, self.schedule, self.tile, self.overlap, self.rows = (
            denoiser,
            denoiser.schedule,
            tile,
            overlap,
            rows,
        )
        self.instances: tuple[Denoiser, ...] | None = None

    def forward(self, x_t, t, **cond):
        if len(x_t) != 1 or t.numel() != 1:
            raise ValueError(f"tiles are those of one picture at one time, not of {len(x_t)} at {t.numel()}")
        t = t.reshape(())
        (height, width), (h, w) = x_t.shape[-2:], self.tile
        down, across = (starts(size, tile, self.overlap) for size, tile in ((height, h), (width, w)))
        weights = [ramps(size, tile, at) for size, tile, at in ((height, h, down), (width, w, across))]
        places = list(itertools.product(range(len(down)), range(len(across))))
        chunks = [places[first : first + self.rows] for first in range(0, len(places), self.rows)]
        if self.instances is None:
            self.instances = tuple(self.denoiser.begin() for _ in chunks)
        sums: list[Tensor | None] = [torch.zeros_like(x_t), None, None]
        for instance, chunk in zip(self.instances, chunks, strict=True):
            boxes = [(slice(down[i], down[i] + h), slice(across[j], across[j] + w)) for i, j in chunk]
            full = boxes + boxes[-1:] * (self.rows - len(boxes))  # conditions are of so many rows
            cut = lambda whole, full=full: torch.cat([whole[..., r, c] for r, c in full])
            here = {**cond, "maps": cut(cond["maps"])} if "maps" in cond else cond
            found = self._asked(instance, cut(x_t), t, here)
            for k, guess in enumerate(found):
                if guess is None:
                    continue
                sums[k] = torch.zeros_like(x_t) if sums[k] is None else sums[k]
                for (i, j), (r, c), one in zip(chunk, boxes, guess):
                    window = (weights[0][i][:, None] * weights[1][j][None]).to(one)
                    sums[k][..., r, c] += window * one  # type: ignore[index]
        return Estimate(*sums)  # type: ignore[arg-type]

    def _asked(self, instance: Denoiser, tiles: Tensor, t: Tensor, cond: dict[str, Tensor]) -> Estimate:
        if torch.is_grad_enabled() and tiles.requires_grad:
            return Estimate(*checkpoint(lambda x: tuple(instance(x, t, **cond)), tiles, use_reentrant=False))
        return instance(tiles, t, **cond)
