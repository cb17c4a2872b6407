"""Walks of diffusers' schedulers whose tables and draws are ours."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from benchmarks.samplers_peers import widened
from reverie.core.denoisers import Denoiser
from reverie.core.schedules import Discrete


class Wide:
    """A module that makes arrays, its float32 being float64."""

    def __init__(self, module: Any) -> None:
        self.module, self.float32 = module, module.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


class Given:
    """The same draws for both, one a step."""

    def __init__(self, draws: Iterator[Tensor] | list[Tensor]) -> None:
        self.left = iter(draws)

    def draw(self, like: Tensor, t: Tensor | None = None, s: Tensor | None = None) -> Tensor:
        return next(self.left).to(like)


def draws(steps: int, like: Tensor) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(like.shape, generator=generator, dtype=torch.float64) for _ in range(steps)]


def drawing(monkeypatch, file: str, noise: Any, like: Tensor) -> None:
    """The draws of a file of schedulers are those of `noise`."""
    module = importlib.import_module(f"diffusers.schedulers.scheduling_{file}")
    if hasattr(module, "randn_tensor"):
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: noise.draw(like))


def over_sigmas(
    file: str, name: str, denoiser: Denoiser, x_t: Tensor, grid: Tensor, wide: bool, **asked: Any
) -> Iterator[Tensor]:
    """States after each call of a scheduler in x / alpha, whose own table is the grid down to its last level, then no noise.

    The schedule keeps alpha^2 + sigma^2 = 1: it asks at alpha x, whose alpha it tells.
    """
    module, schedule = importlib.import_module(f"diffusers.schedulers.scheduling_{file}"), denoiser.schedule
    squares = schedule(grid[:-1].flip(0))[0] ** 2
    with ExitStack() as stack:
        if wide:
            stack.enter_context(widened(module))
            own, module.np = module.np, Wide(module.np)
            stack.callback(setattr, module, "np", own)
        betas = 1 - squares / torch.cat([torch.ones(1), squares[:-1]])
        scheduler = getattr(module, name)(
            num_train_timesteps=len(betas), trained_betas=betas.tolist(), timestep_spacing="linspace"
        )
        if wide:
            scheduler.alphas_cumprod = squares
        scheduler.set_timesteps(len(betas))
        scheduler.set_begin_index(0)
        x = x_t / schedule(grid[0])[0].to(x_t)
        for time in scheduler.timesteps:
            alpha = scheduler.scale_model_input(torch.ones((), dtype=torch.float64), time)
            at = schedule.time((alpha**2).logit())
            x_at = (alpha * x).to(x_t)
            x = scheduler.step(denoiser(x_at, at).eps(x_at, *schedule(at)), time, x, **asked).prev_sample
            yield x


def over_a_table(
    file: str,
    name: str,
    denoiser: Denoiser,
    x_t: Tensor,
    steps: int,
    wide: bool,
    asked: Mapping[str, Any] = MappingProxyType({}),
    **config: Any,
) -> Iterator[Tensor]:
    """States after each call of a scheduler over the indices of the denoiser's own table, its noise predicted."""
    module, schedule = importlib.import_module(f"diffusers.schedulers.scheduling_{file}"), denoiser.schedule
    assert isinstance(schedule, Discrete)
    count = len(schedule.log_snrs())
    scheduler = getattr(module, name)(
        num_train_timesteps=count,
        beta_start=schedule.first,
        beta_end=schedule.last,
        timestep_spacing="leading",
        **config,
    )
    if wide:
        scheduler.alphas_cumprod = schedule.log_snrs().sigmoid()
        scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    scheduler.set_timesteps(steps)
    x = x_t
    for index in scheduler.timesteps:
        at = torch.tensor((index.item() + 1) / count, dtype=torch.float64)
        guess = denoiser(x, at)
        output = guess.eps(x, *schedule(at))
        if guess.fraction is not None:
            output = torch.cat([output, 2 * guess.fraction.to(x) - 1], 1)
        x = scheduler.step(output, index, x, **asked).prev_sample
        yield x
