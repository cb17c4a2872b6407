"""Sources of randomness: sample i draws from its own stream, so batch, device and dtype change only rounding."""

from collections.abc import Iterable
from copy import copy
from hashlib import blake2b
from typing import Protocol

import torch
from torch import Tensor

from .schedules import Schedule
from .spaces import Space


def stream(seed: int, *path: int | str) -> int:
    """A seed of 63 bits for one purpose: a hash of (seed, path), so that streams of neighbours have nothing in common."""
    name = blake2b(repr((seed, *path)).encode(), digest_size=8)
    return int.from_bytes(name.digest(), "little") >> 1


class Noise(Protocol):
    place: Tensor
    """(B,) int64: where each sample stands in the order of all that are drawn."""

    def draw(self, like: Tensor, t: Tensor | None = None, s: Tensor | None = None) -> Tensor:
        """Unit noise of the step t -> s, shaped like `like` (B, *); free of any step where none is named."""

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform on the open interval (0, 1)."""

    def rows(self, index: Tensor) -> "Noise":
        """The source for some of the samples, or for several of each."""


class Seeded:
    """One stream a sample, drawn on the CPU in float32, then cast and moved."""

    def __init__(self, seeds: Iterable[int], place: Iterable[int] | None = None) -> None:
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.place = torch.tensor(list(range(len(self.streams)) if place is None else place), dtype=torch.int64)

    @classmethod
    def at(cls, seed: int, index: Iterable[int], purpose: str = "sample") -> "Seeded":
        """The streams of the samples of that index, for one purpose: a function of (seed, purpose, index) alone."""
        index = list(index)
        return cls((stream(seed, purpose, i) for i in index), index)

    def draw(self, like, t=None, s=None):
        return torch.stack([torch.randn(like.shape[1:], generator=one) for one in self.streams]).to(like)

    def uniform(self, like):
        u = torch.stack([torch.rand(like.shape[1:], generator=one) for one in self.streams])
        return (u.double() + 2**-25).to(like.device)  # rand is a multiple of 2^-24, and may be 0

    def rows(self, index):
        source = copy(self)
        source.streams, source.place = [self.streams[i] for i in index], self.place[index]
        return source


class Brownian:
    """One Brownian motion a sample, in the clock of snr = alpha^2 / sigma^2, so that two grids share a path.

        alpha_t / sigma_t^2 x_t = snr_t x + B(snr_t),    B(snr) = b(u) / (1 - u),    u = snr / (1 + snr)

    b is the bridge on [0, 1] that Lévy builds by halving: a function of the seed, whatever times are asked for.
    """

    def __init__(self, seeds: Iterable[int], schedule: Schedule, depth: int = 36) -> None:
        self.seeds, self.schedule, self.depth = tuple(seeds), schedule, depth
        self.free = Seeded(self.seeds)
        self.place = self.free.place

    def draw(self, like, t=None, s=None):
        if t is None:
            return self.free.draw(like)
        if s > t:
            raise ValueError("a Brownian path has one increment a step: take Seeded noise for grids that go up")
        u_t, u_s = self._clock(t), self._clock(s)
        b_t, b_s = self._bridge(u_t, like.shape[1:]), self._bridge(u_s, like.shape[1:])
        unit = (b_s * (1 - u_t) - b_t * (1 - u_s)) / ((u_s - u_t) * (1 - u_s) * (1 - u_t)) ** 0.5
        return unit.to(like)

    def uniform(self, like):
        return self.free.uniform(like)

    def rows(self, index):
        source = copy(self)
        source.seeds, source.free = tuple(self.seeds[i] for i in index), self.free.rows(index)
        source.place = source.free.place
        return source

    def _clock(self, t: Tensor) -> float:
        alpha_t, sigma_t = self.schedule(t)
        return min((alpha_t**2 / (alpha_t**2 + sigma_t**2)).item(), 1 - 2.0**-self.depth)

    def _bridge(self, u: float, shape: torch.Size) -> Tensor:
        return torch.stack([torch.stack(list(self._bumps(seed, u, shape))).sum(0) for seed in self.seeds])

    def _bumps(self, seed: int, u: float, shape: torch.Size) -> Iterable[Tensor]:
        for level in range(self.depth):
            cell, place = divmod(u * 2**level, 1)
            name = blake2b(f"{seed} {level} {cell:.0f}".encode(), digest_size=8)
            generator = torch.Generator().manual_seed(int.from_bytes(name.digest(), "little"))
            yield min(place, 1 - place) * 2 ** (-level / 2) * torch.randn(shape, generator=generator).double()


class Centred:
    """Noise on the subspace where a space's samples live."""

    def __init__(self, source: Noise, space: Space) -> None:
        self.source, self.space, self.place = source, space, source.place

    def draw(self, like, t=None, s=None):
        return self.space.project(self.source.draw(like, t, s))

    def uniform(self, like):
        return self.source.uniform(like)

    def rows(self, index):
        return Centred(self.source.rows(index), self.space.rows(index))
