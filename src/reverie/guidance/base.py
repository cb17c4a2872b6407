"""What guidance is: one guess made of the guesses of several denoisers."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core.denoisers import Denoiser, Estimate, Given
from ..core.schedules import Schedule, onto


class Guidance(Denoiser):
    """A denoiser around denoisers.

    What it is built around has no default in its `__init__`: `strong`, that of the condition, and `weak`, that of none;
    or `denoiser`, guided or not. Its options have defaults, and `discover.plan` reads them from text.
    """

    space: ClassVar[str]
    """What its formula is of: x, noise or velocity. A sum whose weights add up to one is the same in all of them."""
    neutral: ClassVar[Mapping[str, Any] | None]
    """Options at which it changes nothing: the guess is `strong`'s, or `denoiser`'s, bit for bit. None where there are
    none."""


class Mixed(Guidance):
    """One guess made of those of its `parts`, which are asked together: of one network, in one call."""

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[Denoiser, ...]:
        """The denoisers to ask; the first is that of the condition."""

    @abc.abstractmethod
    def guess(self, found: Sequence[Estimate], x_t: Tensor, t: Tensor, on: Tensor) -> Estimate:
        """The guess, from those of the parts; where `on`, shaped like t, is false nobody looks, and memory stays as it is."""

    def still(self, t: Tensor) -> Tensor:
        """Where, shaped like t, the guess is the first part's own: if everywhere, no other part is asked."""
        return torch.zeros_like(t, dtype=torch.bool)

    def forward(self, x_t, t, **cond):
        if self.still(t).all():
            return self.parts[0](x_t, t, **cond)
        return self.guess(asked(self.parts, x_t, t, **cond), x_t, t, torch.ones_like(t, dtype=torch.bool))


class Contrast(Mixed):
    """Of two: what the weak guess lacks of the strong one is taken further."""

    def __init__(self, strong: Denoiser, weak: Denoiser) -> None:
        super().__init__()
        self.strong, self.weak, self.schedule = strong, weak, strong.schedule

    @property
    def parts(self):
        return self.strong, self.weak


class Around(Mixed):
    """Around one denoiser, guided or not: its parts are that one's."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.schedule = denoiser, denoiser.schedule

    @property
    def parts(self):
        return self.denoiser.parts if isinstance(self.denoiser, Mixed) else (self.denoiser,)

    def inner(self, found: Sequence[Estimate], x_t: Tensor, t: Tensor, on: Tensor) -> Estimate:
        """The guess that there would be without this one."""
        return self.denoiser.guess(found, x_t, t, on) if isinstance(self.denoiser, Mixed) else found[0]

    def inner_still(self, t: Tensor) -> Tensor:
        return self.denoiser.still(t) if isinstance(self.denoiser, Mixed) else torch.ones_like(t, dtype=torch.bool)


def asked(parts: Sequence[Denoiser], x_t: Tensor, t: Tensor, **cond: Tensor) -> list[Estimate]:
    """What each part guesses; one denoiser under several conditions is called once, on a batch as many times as long."""
    groups: dict[Any, dict[int, tuple[Denoiser, dict[str, Tensor]]]] = {}
    for part in parts:
        denoiser, said = told(part, cond)
        rows = bool(said) and all(value.ndim and len(value) == len(x_t) for value in said.values())
        kind = frozenset((name, value.shape, value.dtype) for name, value in said.items())
        groups.setdefault((id(denoiser), kind) if rows else id(part), {})[id(part)] = denoiser, said
    found: dict[int, Estimate] = {}
    for group in groups.values():
        (denoiser, said), *more = group.values()
        if not more:
            found |= {one: denoiser(x_t, t, **said) for one in group}
            continue
        k, all_said = len(group), [each for _, each in group.values()]
        times = t.repeat(k, *[1] * (t.ndim - 1)) if t.ndim and len(t) == len(x_t) > 1 else t
        together = {name: torch.cat([each[name] for each in all_said]) for name in said}
        whole = denoiser(torch.cat([x_t] * k), times, **together)
        split = [[None] * k if field is None else field.chunk(k) for field in whole]
        found |= {one: Estimate(*fields) for one, fields in zip(group, zip(*split))}
    return [found[id(part)] for part in parts]


def told(denoiser: Denoiser, cond: Mapping[str, Tensor]) -> tuple[Denoiser, dict[str, Tensor]]:
    """The denoiser beneath its conditions, and all of them."""
    said = dict(cond)
    while isinstance(denoiser, Given):
        said, denoiser = denoiser.cond | said, denoiser.denoiser
    return denoiser, said


def moved(estimate: Estimate, x_hat: Tensor, x_t: Tensor, t: Tensor, schedule: Schedule) -> Estimate:
    """The estimate with another guess; a noise that is known apart goes with it, by -alpha_t / sigma_t times as much."""
    if estimate.eps_hat is None:
        return estimate._replace(x_hat=x_hat)
    alpha_t, sigma_t = onto(x_t, *schedule(t))
    back = torch.where(sigma_t > 0, alpha_t / sigma_t, 0)
    return estimate._replace(x_hat=x_hat, eps_hat=estimate.eps_hat - back * (x_hat - estimate.x_hat))


def noise(estimate: Estimate, x_t: Tensor, t: Tensor, schedule: Schedule) -> Tensor:
    """The noise that goes with a guess, zero where there is none."""
    alpha_t, sigma_t = schedule(t)
    some = torch.where(sigma_t > 0, sigma_t, 1)
    (there,) = onto(x_t, sigma_t > 0)
    return torch.where(there > 0, estimate.eps(x_t, alpha_t, some), 0)


def where(mask: Tensor, x: Estimate, y: Estimate, x_t: Tensor, t: Tensor, schedule: Schedule) -> Estimate:
    """x where the mask, shaped like t, is true, else y."""
    if mask.all():
        return x
    here = onto(x_t, mask)[0] > 0
    eps_hat = None
    if x.eps_hat is not None or y.eps_hat is not None:
        eps_hat = torch.where(here, noise(x, x_t, t, schedule), noise(y, x_t, t, schedule))
    return y._replace(x_hat=torch.where(here, x.x_hat, y.x_hat), eps_hat=eps_hat)


def inner_product(x: Tensor, y: Tensor) -> Tensor:
    """<x, y> of each sample, (B, 1, ...) in float64: of all its entries, and of no other sample's."""
    total = (x.double() * y.double()).flatten(1).sum(1)
    return total.reshape(-1, *[1] * (x.ndim - 1))
