"""The deterministic samplers of diffusers and azula behind one call, on a grid and a denoiser of ours.

A peer gets the noise levels of our grid in place of its own, in float64 or as it ships, in float32.
"""

import importlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from reverie.core.denoisers import Denoiser

Walk = Callable[[Denoiser, Tensor, Tensor], Generator[Tensor, Tensor | None, None]]


@dataclass(frozen=True)
class Peer:
    library: str
    name: str
    order: int
    """What it claims."""
    stages: int
    """Evaluations of a step of its own."""
    within: bool
    """Whether its stages stand on the times of the grid: then n evaluations take a grid of n steps."""
    walk: Walk
    """(denoiser, x_t (B, *), grid (n + 1,)) to the state after each of its calls, which `send` replaces, the past kept."""

    def steps(self, evaluations: int) -> int:
        """How many steps of a grid that many evaluations pay for."""
        return evaluations if self.within else evaluations // self.stages


class Wide:
    """Torch for a module that casts to float32: its float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextmanager
def widened(module: Any) -> Iterator[None]:
    own, default = module.torch, torch.get_default_dtype()
    module.torch = Wide()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        module.torch = own
        torch.set_default_dtype(default)


def diffusers_walk(file: str, name: str, wide: bool = True, calls: int = 1, **config: Any) -> Walk:
    """A scheduler of diffusers, told the clean sample; `calls` a step of the grid."""
    module = importlib.import_module(f"diffusers.schedulers.scheduling_{file}")
    variance_preserving = name not in ("EulerDiscreteScheduler", "HeunDiscreteScheduler")

    def walk(denoiser: Denoiser, x_t: Tensor, grid: Tensor) -> Generator[Tensor, Tensor | None, None]:
        alpha, sigma = denoiser.schedule(grid)
        scale = (alpha**2 + sigma**2).sqrt() if variance_preserving else alpha
        scheduler = getattr(module, name)(prediction_type="sample", **config)
        scheduler.set_timesteps(len(grid) - 1)
        at = torch.arange(len(grid))
        if calls == 2:  # the noise levels and the times at which it asks: every inner one twice
            at = torch.cat([at[:1], at[1:].repeat_interleave(2)])
        scheduler.sigmas = (sigma / alpha)[at].to(torch.float64 if wide else torch.float32)
        scheduler.timesteps = scheduler.timesteps.new_zeros(len(at) - 1)
        scheduler.set_begin_index(0)
        x = x_t / scale[0]
        for t, s in zip(at, at[1:]):
            with widened(module) if wide else nullcontext():
                scheduler.is_scale_input_called = True
                x_hat = denoiser((x * scale[t]).to(x_t), grid[t]).x_hat
                x = scheduler.step(x_hat, torch.tensor(0.0), x).prev_sample
            while (edited := (yield x * scale[s])) is not None:
                x = edited / scale[s]

    return walk


def azula_walk(name: str, **config: Any) -> Walk:
    """A sampler of azula, on our schedule."""
    module = importlib.import_module("azula.sample")

    def walk(denoiser: Denoiser, x_t: Tensor, grid: Tensor) -> Generator[Tensor, Tensor | None, None]:
        class Adapted:
            def __init__(self) -> None:
                self.seen: list[Tensor] = []
                self.schedule = denoiser.schedule

            def __call__(self, x: Tensor, t: Tensor) -> Any:
                self.seen.append(x)
                return SimpleNamespace(mean=denoiser(x, t).x_hat)

        adapted = Adapted()
        sampler = type(name, (getattr(module, name),), {"timesteps": grid})(adapted, silent=True, **config)
        end = sampler(x_t)
        yield from adapted.seen[1:]
        yield end

    return walk


def peers(wide: bool = True) -> list[Peer]:
    """Every deterministic one, at every order it takes. Raises ImportError where a library is missing."""
    found: list[Peer] = []

    def diffusers(label: str, file: str, name: str, order: int, stages: int = 1, within: bool = True, **config: Any):
        walk = diffusers_walk(file, name, wide, 1 if within else stages, **config)
        found.append(Peer("diffusers", label, order, stages, within, walk))

    open_end = dict(final_sigmas_type="sigma_min")  # the grid ends above no noise: no step needs to be of first order
    for final in (True, False):
        ending = "" if final else ", full order at the end"
        for kind in ("dpmsolver++", "dpmsolver"):
            for order in (2, 3):
                diffusers(
                    f"multistep {kind} {order}{ending}",
                    "dpmsolver_multistep",
                    "DPMSolverMultistepScheduler",
                    order,
                    algorithm_type=kind,
                    solver_order=order,
                    lower_order_final=final,
                    **open_end,
                )
        for kind in ("bh1", "bh2"):
            for order in (1, 2) if kind == "bh1" else (1, 2, 3, 4):  # from order 3 on they are one
                diffusers(
                    f"UniPC {kind} {order}{ending}",
                    "unipc_multistep",
                    "UniPCMultistepScheduler",
                    order,
                    solver_type=kind,
                    solver_order=order,
                    lower_order_final=final,
                    **open_end,
                )
        for order in (2, 3):
            diffusers(
                f"DEIS {order}{ending}",
                "deis_multistep",
                "DEISMultistepScheduler",
                order,
                solver_order=order,
                lower_order_final=final,
            )
    diffusers(
        "multistep dpmsolver++ 2 heun",
        "dpmsolver_multistep",
        "DPMSolverMultistepScheduler",
        2,
        solver_type="heun",
        lower_order_final=False,
        **open_end,
    )
    for kind in ("dpmsolver++", "dpmsolver"):
        for order in (2, 3):
            diffusers(
                f"singlestep {kind} {order}",
                "dpmsolver_singlestep",
                "DPMSolverSinglestepScheduler",
                order,
                stages=order,
                algorithm_type=kind,
                solver_order=order,
                lower_order_final=True,
                **open_end,
            )
    diffusers("Heun", "heun_discrete", "HeunDiscreteScheduler", 2, stages=2, within=False)
    diffusers("Euler", "euler_discrete", "EulerDiscreteScheduler", 1)

    for name, orders in [("zAB", 4), ("vAB", 4), ("zEAB", 4), ("xEAB", 4), ("REAB", 3)]:
        found += [
            Peer("azula", f"{name} {order}", order, 1, True, azula_walk(f"{name}Sampler", order=order))
            for order in range(2, orders + 1)
        ]
    found.append(Peer("azula", "DDIM", 1, 1, True, azula_walk("DDIMSampler")))
    found.append(Peer("azula", "Heun", 2, 2, False, azula_walk("HeunSampler")))
    return found
