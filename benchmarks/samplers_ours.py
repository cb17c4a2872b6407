"""Our samplers as the benchmark enters them."""

from collections.abc import Callable

import torch
from torch import Tensor

from reverie import discover, samplers
from reverie.core.schedules import Schedule
from reverie.samplers.adams_bashforth import AdamsBashforth
from reverie.samplers.adams_moulton import AdamsMoulton
from reverie.samplers.base import Sampler
from reverie.samplers.deis import DEIS

from .samplers_problems import SCHEDULE

ALSO = (DEIS(4, "log_snr"), AdamsMoulton(4), AdamsBashforth(5))
"""Entered beside the variants that the contracts test."""


class Remembered(Schedule):
    """Our schedule, each of its times computed once: it is asked for the same ones by every sampler."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.scales: dict[float, tuple[Tensor, Tensor]] = {}
        self.log_snrs: dict[float, Tensor] = {}

    def alpha(self, t):
        return self(t)[0]

    def sigma(self, t):
        return self(t)[1]

    def __call__(self, t):
        if torch.as_tensor(t).ndim:
            return self.schedule(t)
        if float(t) not in self.scales:
            self.scales[float(t)] = self.schedule(t)
        return self.scales[float(t)]

    def log_snr(self, t):
        if torch.as_tensor(t).ndim:
            return self.schedule.log_snr(t)
        if float(t) not in self.log_snrs:
            self.log_snrs[float(t)] = self.schedule.log_snr(t)
        return self.log_snrs[float(t)]

    def time(self, log_snr):
        return self.schedule.time(log_snr)


def ours() -> dict[str, Sampler]:
    """Every deterministic variant that takes a number of evaluations that is known before; of DDIM's many names, one."""
    found = [*discover.variants(samplers, Sampler), *ALSO]
    found = [s for s in found if not s.stochastic and s.evaluations is not None]
    return {named(s): s for s in found if s.order > 1 or type(s).__name__ in ("DDIM", "UniPC", "AdamsMoulton")}


def named(sampler: Sampler) -> str:
    """As `--sampler` takes it, without the options that are as they are by default."""
    default, name = type(sampler)(), type(sampler).__name__.lower()
    changed = {k: v for k, v in vars(sampler).items() if getattr(default, k) != v}
    return name + (f"({', '.join(f'{k}={v!r}' for k, v in changed.items())})" if changed else "")


def steps_for(sampler: Sampler, evaluations: int, grid: Callable[[int], Tensor]) -> int:
    """The most steps whose declared cost is no more than that; 0 where one step costs more."""
    assert sampler.evaluations is not None
    steps = evaluations
    while steps and sampler.evaluations.total(SCHEDULE, grid(steps)) > evaluations:
        steps -= 1
    return steps
