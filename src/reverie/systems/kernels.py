"""Networks computed by kernels compiled for the machine: the same functions, but for rounding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..errors import ReverieError
from ..nn.base import Backbone
from ..nn.compiling import why_not_compiled


@contextmanager
def kernels(networks: Sequence[nn.Module], compiled: bool) -> Iterator[None]:
    """Networks that are computed by compiled kernels inside, or are not, and as they were after."""
    ours = [network for network in networks if isinstance(network, Backbone)]
    before = [network.compiled for network in ours]
    try:
        for network in ours:
            network.compiled = compiled
        yield
    finally:
        for network, was in zip(ours, before):
            network.compiled = was


def check_compiles(network: nn.Module, device: torch.device) -> None:
    """Raises ReverieError where nothing can be compiled for the network, or nothing on this machine."""
    if not isinstance(network, Backbone) or not network.compiles:
        raise ReverieError("there are no kernels to compile for the network of this model: leave out --compile")
    if why := why_not_compiled(device):
        raise ReverieError(f"kernels cannot be compiled here: {why}; leave out --compile, or install a C++ compiler")
