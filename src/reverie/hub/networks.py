"""What reading any network of a folder takes: its settings, its tensors, and strictness."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import ReverieError, printable
from ..files import fill, must_fit
from ..nn.layouts import from_diffusers, to_diffusers
from .folders import Part

N = TypeVar("N", bound=nn.Module)
INSIDE = "inside."
"""Where a borrowed network has its tensors."""
MOST = 20_000_000_000
"""Parameters of a network."""


def made(make: Callable[[], N], what: str) -> N:
    """The network. Raises ReverieError where it cannot be made."""
    try:
        return make()
    except (ValueError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise ReverieError(f"{what} is not a network of ours: {printable(str(error)[:300])}") from None


def sketched(make: Callable[[], N], what: str) -> N:
    """The same network with shapes and no memory. Raises ReverieError where it would be larger than any."""
    with torch.device("meta"):
        network = made(make, what)
    size = sum(p.numel() for p in network.parameters())
    if size > MOST:
        raise ReverieError(f"{what} would have {size:.3g} parameters: more than any network here")
    return network


def linear(name: str) -> bool:
    """Whether it may be a 1x1 convolution there where ours is a linear map."""
    return name.endswith((".proj_in.weight", ".proj_out.weight"))


OLDER = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Names that attentions had."""


def renewed(name: str) -> str:
    if ".mid_block.attentions." in name:
        for before, after in OLDER.items():
            name = name.replace(before, after)
    return name


def filled(
    make: Callable[[], N], part: Part, layers: Mapping[str, str] | None, what: str, more: Mapping[str, tuple[int, ...]] = {},
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda tensors: tensors,
) -> N:  # fmt: skip
    """The network with a part's tensors, renamed by `layers`, or a borrowed one's as they are; all of them are there, of their
    shapes, and no other is.

    `more` are tensors that are needed beside them, of which `change` makes what the network has. Raises ReverieError,
    before any tensor is read, where they do not fit.
    """
    own = sketched(make, what).state_dict()
    theirs = to_diffusers(own, layers) if layers else {name.removeprefix(INSIDE): one for name, one in own.items()}
    needed = {name: tuple(one.shape) for name, one in theirs.items()}
    needed |= more
    stated = {renewed(name): flat(name, one.shape) for name, one in part.stated().items()}
    must_fit(stated, needed, str(part.folder), "the network that its config.json describes")
    tensors = {renewed(name): one.float().reshape(flat(name, tuple(one.shape))) for name, one in part.tensors().items()}
    network = made(make, what)
    tensors = change(tensors)
    named = from_diffusers(tensors, layers) if layers else {INSIDE + name: one for name, one in tensors.items()}
    fill(network, named, str(part.folder))
    return network.eval()


def flat(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without the axes of 1 that convolutions have where ours are linear maps."""
    attends = ".mid_block.attentions." in name and name.endswith(".weight")
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) and (linear(name) or attends) else shape


def sizes(value: Any, count: int, what: str) -> list[int]:
    """A number for each of `count` levels, of one for all or a list of them. Raises ReverieError."""
    listed = [value] * count if type(value) is int else list(value) if isinstance(value, (list, tuple)) else []
    if len(listed) != count or not all(type(one) is int for one in listed):
        raise ReverieError(f"{what}, {printable(str(value)[:60])}, is not one whole number for each of {count} levels")
    return listed
