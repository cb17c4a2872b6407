"""What memory training takes, counted on one small update before the first real one."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..data.stored import memory
from .loop import differentiate, seeded

SIZES = (2, 4)
"""Samples that are tried: what a sample takes is half the difference, since gradients are there for any number."""


class Live(TorchDispatchMode):
    """Counts the bytes of tensors made inside that are alive, views of one memory once, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self.count(one.untyped_storage())
        return made

    def count(self, storage: torch.UntypedStorage) -> None:
        if (key := storage._cdata) not in self.known:
            size = storage.nbytes()
            self.known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.freed, key, size)

    def freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


@dataclass(frozen=True)
class Estimate:
    """Bytes: of weights, gradients, optimizer and averages, whatever the batch, and of each sample at a time."""

    fixed: int
    sample: int

    def __call__(self, micro_batch: int) -> int:
        return self.fixed + self.sample * micro_batch


def estimated(
    loss: nn.Module, optimizer: torch.optim.Optimizer, fed: Callable[[int], Mapping[str, Any]], averages: int
) -> Estimate:
    """Of training this loss, `fed(n)` being a batch of n samples, with so many averages of its weights.

    The weights are left changed by an update. What libraries use within an operation is not counted.
    """
    loss.train()
    peaks = []
    for size in SIZES:
        optimizer.zero_grad()
        with Live() as live, seeded(0):
            differentiate(loss, optimizer, [fed(size)])
        peaks.append(live.most)
    optimizer.step()
    optimizer.zero_grad()
    state = sum(bytes_of(one) for each in optimizer.state.values() for one in each.values() if isinstance(one, Tensor))
    weights = sum(bytes_of(p) for p in loss.parameters())
    moving = sum(bytes_of(p) for p in loss.parameters() if p.requires_grad)
    sample = max(0, peaks[1] - peaks[0]) // (SIZES[1] - SIZES[0])
    return Estimate(weights + moving * averages + state + max(0, peaks[0] - SIZES[0] * sample), sample)


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
