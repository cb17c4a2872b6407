"""Arrays of any scale."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ReverieError
from .base import Codec, Measured


@dataclass(frozen=True)
class Standard(Codec):
    """Each channel about its mean, in units of its spread: z = (x - mean) / std_raw, computed in float64.

    A channel that never varies (std_raw = 0) is z = 0, and decodes to its mean whatever z says.
    """

    mean: tuple[float, ...] = (0.0,)
    std_raw: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std_raw) or not self.mean or min(self.std_raw) < 0:
            raise ValueError("mean and std_raw need one number a channel, and no spread is negative")

    @classmethod
    def fit(cls, dataset: Measured) -> "Standard":
        """The codec of the measured mean and spread. Raises ReverieError where no channel varies."""
        mean, std = dataset.statistics()
        if not std.any():
            raise ReverieError(f"{dataset.name}: no channel ever varies; there is nothing to learn")
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    @classmethod
    def variants(cls) -> "tuple[Standard, ...]":
        return (cls(), cls((1e4, -3.0), (2.5, 1e-3)))

    @property
    def std(self) -> float:
        """1, less where channels are constant; about the mean of z, which is 0."""
        return (sum(s > 0 for s in self.std_raw) / len(self.std_raw)) ** 0.5

    def encode(self, raw):
        mean, std = self._by_channel(raw)
        z = torch.where(std > 0, (raw.cpu().double() - mean) / std, 0)
        return z.to(raw.device, torch.float32)

    def decode(self, z):
        mean, std = self._by_channel(z)
        return (z.cpu().double() * std + mean).to(z.device, torch.float32)

    def _by_channel(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1] != len(self.mean):
            raise ValueError(f"{len(self.mean)} channels were measured, not {x.shape[1]}")
        shape = (-1, *[1] * (x.ndim - 2))
        mean, std = torch.tensor([self.mean, self.std_raw], dtype=torch.float64)
        return mean.reshape(shape), std.reshape(shape)
