"""The loop: losses and optimizers, batches in, a step out after each update. What else happens is the caller's."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.noise import stream
from ..errors import ReverieError


class Objective(NamedTuple):
    """A loss, called with a batch's parts by name, and the optimizer of what it trains."""

    loss: nn.Module
    optimizer: torch.optim.Optimizer


class Step(NamedTuple):
    """What an update was, after it."""

    updates: int
    """So far, this one included."""
    before: int
    seen: int
    """Samples seen by all processes, those of this update included."""
    losses: tuple[float, ...]
    """One an objective, averaged over the update's samples of this process."""
    grad_norm: float
    """The greatest of the objectives', before clipping."""
    rate: float
    """The factor of the learning rate."""


class NotFinite(ReverieError):
    """A number that is not finite where training needs one; nothing was updated with it."""


def train(
    objectives: Sequence[Objective], batches: Iterable[Mapping[str, Any]], *, accelerator: Any = None,
    accumulate: int = 1, clip: float = 1.0, rate: Callable[[int], float] = lambda seen: 1.0,
    seed: int = 0, count: int = 0, seen: int = 0,
) -> Iterator[Step]:  # fmt: skip
    """Yields after every update until the batches end, so that logs, averages, previews and stops are a `for` body.

    A batch is what the losses are called with, its samples under "x"; `accumulate` batches make an update, weighted by
    their samples. `rate` scales the optimizers' own rates at a count of samples seen. Whatever draws from the global
    generator inside a network (dropout) is seeded by (seed, count, process). `accelerator` is an
    `accelerate.Accelerator` that has prepared backbones and optimizers; without one this is plain PyTorch.
    Raises NotFinite before an update with a loss or a gradient that is no number.
    """
    processes = accelerator.num_processes if accelerator else 1
    rank = accelerator.process_index if accelerator else 0
    peaks = [[group.setdefault("peak", group["lr"]) for group in o.optimizer.param_groups] for o in objectives]
    batches = iter(batches)
    while group := list(islice(batches, accumulate)):
        size = sum(len(batch["x"]) for batch in group)
        factor = rate(seen)
        losses, norms = [], []
        for (loss, optimizer), lrs in zip(objectives, peaks, strict=True):
            total = 0.0
            loss.train()
            with seeded(stream(seed, "update", count, rank)):
                for i, batch in enumerate(group):
                    with whole_gradients(loss, i + 1 == len(group)):
                        value = loss(**batch) * (len(batch["x"]) / size)
                        accelerator.backward(value) if accelerator else value.backward()
                    total += value.item()
            if not math.isfinite(total):
                optimizer.zero_grad()
                raise NotFinite(_diagnosis("the loss", seen, group))
            norm = nn.utils.clip_grad_norm_(list(parameters(optimizer)), clip).item()
            if not math.isfinite(norm):
                optimizer.zero_grad()
                raise NotFinite(_diagnosis("the gradient", seen, group))
            for params, lr in zip(optimizer.param_groups, lrs, strict=True):
                params["lr"] = lr * factor
            optimizer.step()
            optimizer.zero_grad()
            losses.append(total)
            norms.append(norm)
        before, seen, count = seen, seen + size * processes, count + 1
        yield Step(count, before, seen, tuple(losses), max(norms), factor)


def parameters(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators seeded inside, and as they were after."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def whole_gradients(module: nn.Module, last: bool) -> Iterator[None]:
    """Processes exchange gradients at the last batch of an update alone."""
    with ExitStack() as stack:
        for part in module.modules():
            if not last and hasattr(part, "no_sync"):
                stack.enter_context(part.no_sync())  # type: ignore[operator]
        yield


def _diagnosis(what: str, seen: int, group: list[Mapping[str, Any]]) -> str:
    broken = [
        key for batch in group for key, value in batch.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all()
    ]  # fmt: skip
    why = (
        f"the data under {sorted(set(broken))} hold numbers that are not finite: check them with `reverie data check`"
        if broken
        else "the data are finite, so training diverged: try a lower learning rate, or float32"
    )
    return f"{what} is not a finite number after {seen} samples; {why}. The last checkpoint is untouched."
