"""Parts of networks as kernels compiled for this machine: the same functions, but for rounding."""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class Compilable(nn.Module):
    """A part that is computed by compiled kernels where `compiled` says so."""

    compiled = False


def kernel(function: Callable[..., Any], compiled: bool) -> Callable[..., Any]:
    return compilation(function) if compiled else function


@functools.cache
def compilation(function: Callable[..., Any]) -> Callable[..., Any]:
    """One kernel for all shapes; where two lengths happen to be equal, as of a batch and its channels, another.

    PyTorch (seen in 2.13) keeps kernels on the disk by what is computed, not by how wide this machine's vectors are: from a place
    that another machine shares, or after ATEN_CPU_CAPABILITY was set, it takes loops of other steps, and leaves entries out.
    """
    width = torch.backends.cpu.get_cpu_capability()
    with quiet():
        if width not in torch.compiler.config.cache_key_tag.split():
            torch.compiler.config.cache_key_tag = f"{torch.compiler.config.cache_key_tag} {width}".strip()
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
        compiled = torch.compile(function, dynamic=True)

    def call(*arguments: Any) -> Any:
        with quiet():
            return compiled(*arguments)

    return call


@contextmanager
def quiet() -> Iterator[None]:
    """PyTorch's compiler warns of PyTorch, and where warnings are errors it would fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@functools.cache
def why_not_compiled(device: torch.device) -> str | None:
    """What stands in the way of compiled kernels on this machine, None where they work: one is made, in some seconds."""
    x = torch.ones(2, 3, device=device, dtype=torch.bfloat16)
    try:
        kernel(tried, True)(x)
    except Exception as error:  # a compiler that is not there, too old, or fails: each has its own class
        return str(error).strip().splitlines()[0][:200] or type(error).__name__
    return None


def tried(x: torch.Tensor) -> torch.Tensor:
    return (x.float() * torch.sigmoid(x)).to(x.dtype)
