"""What memory training takes, counted on one small update before the first real one."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..data.stored import memory
from .loop import differentiate, seeded

SIZES = (2, 4)
"""Samples that are tried: what a sample takes is half the difference, at each moment of the update by itself."""


class Live(TorchDispatchMode):
    """Counts the bytes of tensors made inside that are alive, views of one memory once: now, and as each operation made some."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.moments: list[tuple[Any, int]] = [(None, 0)]
        self.known: set[int] = set()

    @property
    def most(self) -> int:
        return max(now for _, now in self.moments)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.count(func, made)
        return made

    def count(self, what: Any, made: Any) -> None:
        """The tensors somewhere in what something made."""
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and (key := (storage := one.untyped_storage())._cdata) not in self.known:
                size = storage.nbytes()
                self.known.add(key)
                self.now += size
                self.moments.append((what, self.now))
                weakref.finalize(storage, self.freed, key, size)

    def freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Estimate:
    """Bytes: of weights, optimizer and averages, and (whatever the batch, of each sample) at moments of an update.

    With few samples the most is alive where all gradients are, with many where all activations are.
    """

    kept: int
    moments: tuple[tuple[int, int], ...]

    def __call__(self, micro_batch: int) -> int:
        return self.kept + max(fixed + sample * micro_batch for fixed, sample in self.moments)

    @property
    def sample(self) -> int:
        """Bytes that one sample more takes, beside many."""
        return max(sample for _, sample in self.moments)


def estimated(
    loss: nn.Module, optimizer: torch.optim.Optimizer, fed: Callable[[int], Mapping[str, Any]], averages: int
) -> Estimate:
    """Of training this loss, `fed(n)` being a batch of n samples, with so many averages of its weights.

    The weights are left changed by an update. What libraries use within an operation is not counted.
    """
    loss.train()
    counts = []
    for size in SIZES:
        optimizer.zero_grad()
        batch = fed(size)
        with Live() as live, seeded(0):
            live.count(fed, batch)
            differentiate(loss, optimizer, [batch])
        counts.append(live.moments)
    optimizer.step()
    optimizer.zero_grad()
    state = sum(bytes_of(one) for each in optimizer.state.values() for one in each.values() if isinstance(one, Tensor))
    weights = sum(bytes_of(p) for p in loss.parameters())
    moving = sum(bytes_of(p) for p in loss.parameters() if p.requires_grad)
    return Estimate(weights + moving * averages + state, highest(*counts))


def highest(few: Sequence[tuple[Any, int]], more: Sequence[tuple[Any, int]]) -> tuple[tuple[int, int], ...]:
    """(whatever the batch, of each sample) of the moments that can be the highest, from those of both SIZES.

    Noise is drawn a sample at a time, before anything large is there: from the last draw on, moments are compared one by
    one. Where the updates went different ways later on, their peaks are all that is known.
    """
    alike = takewhile(lambda pair: pair[0][0] is pair[1][0], zip(reversed(few), reversed(more)))
    counts = {(low, high) for (_, low), (_, high) in alike}
    peaks = max(now for _, now in few), max(now for _, now in more)
    if peaks[0] not in {low for low, _ in counts} or peaks[1] not in {high for _, high in counts}:
        counts = {peaks}
    slopes = ((low, max(0, high - low) // (SIZES[1] - SIZES[0])) for low, high in counts)
    found: list[tuple[int, int]] = []
    for fixed, sample in sorted(((max(0, low - SIZES[0] * slope), slope) for low, slope in slopes), reverse=True):
        if not found or sample > found[-1][1]:
            found.append((fixed, sample))
    return tuple(found)


def bytes_of(x: Tensor) -> int:
    return x.numel() * x.element_size()


def free(device: torch.device) -> int:
    """Bytes that can still be had: of an accelerator, or of the machine and of what this process may have beside what it has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        available, held = told("/proc/meminfo", "MemAvailable"), told("/proc/self/status", "VmRSS")
    except (OSError, StopIteration):  # another system
        return memory()
    return max(0, min(available, memory() - held))


def told(file: str, what: str) -> int:
    """Bytes, of a line of the system's such as `VmRSS: 12 kB`."""
    return 1024 * next(int(row.split()[1]) for row in Path(file).read_text().splitlines() if row.startswith(f"{what}:"))
