"""The loop: losses and optimizers, batches in, a step out after each update. What else happens is the caller's."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.noise import stream
from .guard import Guard, diagnosis
from .memory import OutOfMemory, shortage


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
    fault: str | None = None
    """Why an objective was not updated, where that is so; its loss is then not finite."""


def train(
    objectives: Sequence[Objective], batches: Iterable[Mapping[str, Any]], *, accelerator: Any = None,
    accumulate: int = 1, clip: float = 1.0, rate: Callable[[int], float] = lambda seen: 1.0,
    seed: int = 0, count: int = 0, seen: int = 0, guard: Guard | None = None,
) -> Iterator[Step]:  # fmt: skip
    """Yields after every update until the batches end, so that logs, averages, previews and stops are a `for` body.

    A batch is what the losses are called with, its samples under "x"; `accumulate` batches make an update, weighted by
    their samples. `rate` scales the optimizers' own rates at a count of samples seen. Whatever draws from the global
    generator inside a network (dropout) is seeded by (seed, count, process). `accelerator` is an
    `accelerate.Accelerator` that has prepared backbones and optimizers; without one this is plain PyTorch.
    An update with a loss or a gradient that is no number is skipped, and `guard` says for how long: it raises NotFinite.
    Raises OutOfMemory, with nothing changed, where a batch does not fit.
    """
    processes = accelerator.num_processes if accelerator else 1
    rank = accelerator.process_index if accelerator else 0
    peaks = [[group.setdefault("peak", group["lr"]) for group in o.optimizer.param_groups] for o in objectives]
    batches, guard = iter(batches), guard or Guard()
    while group := taken(batches, accumulate):
        factor = rate(seen) * guard.factor
        losses, norms, fault = [], [], None
        for (loss, optimizer), lrs in zip(objectives, peaks, strict=True):
            loss.train()
            with seeded(stream(seed, "update", count, rank)):
                total = differentiate(loss, optimizer, group, accelerator)
            norm = nn.utils.clip_grad_norm_(list(parameters(optimizer)), clip).item()
            if math.isfinite(norm):
                for params, lr in zip(optimizer.param_groups, lrs, strict=True):
                    params["lr"] = lr * factor
                optimizer.step()
            else:
                fault = diagnosis("the gradient" if math.isfinite(total) else "the loss", seen, group, loss)
            optimizer.zero_grad()
            losses.append(total)
            norms.append(norm)
        before, seen, count = seen, seen + sum(len(batch["x"]) for batch in group) * processes, count + 1
        guard.failed(fault) if fault else guard.passed()
        yield Step(count, before, seen, tuple(losses), max(norms), factor, fault)


def taken(batches: Iterator[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """The next batches, fewer at the end. Raises OutOfMemory where there is none left to prepare them in."""
    with shortage("while a batch was prepared"):
        return list(islice(batches, count))


def differentiate(
    loss: nn.Module, optimizer: torch.optim.Optimizer, group: Sequence[Mapping[str, Any]], accelerator: Any = None
) -> float:
    """The loss over a group of batches, weighted by their samples, with its gradients left in the parameters.

    A loss that is no number makes every gradient none, whatever the network: so all processes see it in the norm.
    Raises OutOfMemory, with no gradient left.
    """
    total, size = 0.0, sum(len(batch["x"]) for batch in group)
    try:
        with shortage(f"on a batch of {max(len(batch['x']) for batch in group)}"):
            for i, batch in enumerate(group):
                with whole_gradients(loss, i + 1 == len(group)):
                    value = loss(**batch) * (len(batch["x"]) / size)
                    total += (told := value.item())
                    value = value if math.isfinite(told) else value * math.nan
                    accelerator.backward(value) if accelerator else value.backward()
    except OutOfMemory:
        optimizer.zero_grad()
        raise
    return total


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
