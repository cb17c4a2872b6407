"""What the network of one model takes over from that of another: what fits, what fits in part, and what is new."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..data.axes import counted
from ..errors import ReverieError
from ..systems.diffusion import Diffusion
from . import carrying

INPUTS, OUTPUTS = ("stem.weight", "embed.weight"), ("head.weight", "head.bias")
"""The tensors of a network whose shape depends on the channels of the data."""


@dataclass
class Transfer:
    """The tensors that a network starts with, by name, and where they come from; `left` are the source's without a place."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    whole: list[str] = field(default_factory=list)
    part: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def size(self, names: Iterable[str]) -> int:
        return sum(self.tensors[name].numel() for name in names)


def transfer(source: Diffusion, system: Diffusion) -> Transfer:
    """What `system` takes over from `source`: tensors of the same name and shape, and of those that depend on classes,
    numbers and channels as much as means the same. Raises ReverieError where the networks have nothing in common.
    """
    old, new = source.network.state_dict(), system.network.state_dict()
    theirs, ours = (type(one.network).__name__ for one in (source, system))
    if theirs != ours:
        raise ReverieError(f"those weights are of a {theirs}, and this network is a {ours}: leave out --network")
    if (axes := source.network.spatial) != system.network.spatial:
        raise ReverieError(f"those weights are for data of {axes} axes after the channels, and these have "
                           f"{system.network.spatial}: start from a run of such data")  # fmt: skip
    made = Transfer(left=[name for name in old if name not in new])
    for name, fresh in new.items():
        tensor, how = fresh, "new: at random"
        if name in carrying.NAMES:
            tensor, how = carrying.carried(name, old, new, source.conditioner, system.conditioner)
        elif name in old and old[name].shape == fresh.shape:
            tensor, how = old[name], ""
        elif name in old and name in INPUTS + OUTPUTS:
            axis, function = (1, inputs) if name in INPUTS else (0, outputs)
            tensor, how = rechannelled(old[name], fresh, axis, source.shape[0], system.shape[0], function)
        made.tensors[name] = tensor.detach().clone()
        if how.startswith("new: "):
            made.new[name] = how.removeprefix("new: ")
        elif how:
            made.part[name] = how
        else:
            made.whole.append(name)
    if not made.whole:
        raise ReverieError(
            f"no tensor of that {theirs} fits this one: leave out --network, and its layout is taken over"
        )
    return made


def rechannelled(
    old: Tensor, fresh: Tensor, axis: int, n: int, m: int, function: Callable[[Tensor, int, int], tuple[Tensor, str]]
) -> tuple[Tensor, str]:
    """A layer whose `axis` is n channels by their patch, for m of them."""
    weight = old.unflatten(axis, (n, -1))
    made, how = function(weight, n, m)
    made = made.flatten(axis, axis + 1)
    return (made, how) if made.shape == fresh.shape else (fresh, "new: at random")


def inputs(weight: Tensor, n: int, m: int) -> tuple[Tensor, str]:
    """(width, n, ...) -> (width, m, ...): several in the place of one are heard as their mean, and one in the place of
    several as all of them; otherwise the first are the same, and more of them are not heard at first.
    """
    if n == 1:
        return weight.expand(-1, m, *weight.shape[2:]) / m, f"{counted(n)} in to {m}: they are heard as their mean"
    if m == 1:
        return weight.sum(1, keepdim=True), f"{counted(n)} in to 1: it is heard as each of them"
    return first(weight, 1, m), f"{counted(n)} in to {m}: the first {min(n, m)} are the same"


def outputs(weight: Tensor, n: int, m: int) -> tuple[Tensor, str]:
    """(n, ...) -> (m, ...): several in the place of one are all made as it was, and one in the place of several as their
    mean; otherwise the first are the same, and more of them start at zero.
    """
    if n == 1:
        return weight.expand(m, *weight.shape[1:]), f"{counted(n)} out to {m}: all are made as it was"
    if m == 1:
        return weight.mean(0, keepdim=True), f"{counted(n)} out to 1: it is made as their mean"
    return first(weight, 0, m), f"{counted(n)} out to {m}: the first {min(n, m)} are the same"


def first(weight: Tensor, axis: int, m: int) -> Tensor:
    """The first m along an axis, then zeros where there are fewer."""
    kept = weight.narrow(axis, 0, min(weight.shape[axis], m))
    lacking = list(kept.shape)
    lacking[axis] = m - kept.shape[axis]
    return torch.cat([kept, kept.new_zeros(lacking)], axis)
