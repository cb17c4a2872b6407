"""Guidance away from the same network made weaker."""

import abc
from collections.abc import Callable
from copy import copy
from typing import Any

from torch import nn

from ..core.denoisers import Denoiser, Preconditioned
from .base import Around, moved


def weakenable(denoiser: Denoiser) -> bool:
    return any(isinstance(part, Preconditioned) and hasattr(part.backbone, "blind") for part in denoiser.modules())


def weakened(denoiser: Denoiser, change: Callable[[Any], nn.Module]) -> Denoiser:
    """The same denoiser with its backbones changed; weights are shared. Raises ValueError where it has none."""
    if not weakenable(denoiser):
        raise ValueError("there is no network in this denoiser that could be made weaker by its own blocks")
    fresh = copy(denoiser)
    fresh._modules = dict(denoiser._modules)
    if isinstance(denoiser, Preconditioned):
        fresh.backbone = change(denoiser.backbone)
        return fresh
    for name, part in denoiser._modules.items():
        if isinstance(part, Denoiser) and weakenable(part):
            fresh._modules[name] = weakened(part, change)
    return fresh


class Weakened(Around):
    """x_hat = guided + (scale - 1) (strong - weak): around the conditional denoiser alone, weak + scale (strong - weak)."""

    def __init__(self, denoiser: Denoiser, scale: float = 2.0, layers: tuple[int, ...] = ()) -> None:
        """`layers` counts the network's blocks in the order they run; none given, the one in the middle is taken.

        Raises ValueError where there is no such block, or nothing in it to change.
        """
        super().__init__(denoiser)
        self.scale, self.layers = scale, layers
        self.weak = weakened(super().parts[0], self.change)

    @classmethod
    def variants(cls, strong, weak):
        return (cls(strong),) if weakenable(strong) else ()

    @abc.abstractmethod
    def change(self, backbone: Any) -> nn.Module:
        """A weaker network of the same weights."""

    @property
    def parts(self):
        return *super().parts, self.weak

    def still(self, t):
        return self.inner_still(t) & (self.scale == 1)

    def guess(self, found, x_t, t, on):
        guided, strong, weak = self.inner(found[:-1], x_t, t, on), found[0], found[-1]
        x_hat = guided.x_hat + (self.scale - 1) * (strong.x_hat - weak.x_hat)
        return moved(guided, x_hat, x_t, t, self.schedule)
