"""The network that a shape calls for, on the machine people have."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from .. import discover, nn
from ..errors import ReverieError
from ..nn.base import Backbone


def chosen_network(shape: Sequence[int]) -> str:
    """The text of the network for samples (C, *axes), as an option would give it."""
    levels = levels_for(shape[1:])
    attention = tuple(level > 0 and (level > 1 or len(levels) < 3) for level in range(len(levels)))
    return f"unet(levels={levels}, blocks=1, attention={attention}, groups=8)"


def network_for(shape: Sequence[int], text: str, conditions: Mapping[str, int]) -> dict[str, Any]:
    """The description of a backbone for samples (C, *axes): of `text`, `name(option=value, ...)`."""
    name, options = read(text)
    fixed = {"spatial": len(shape) - 1, "channels": shape[0], **conditions}
    for key in options:
        if key in fixed:
            raise ReverieError(f"network option {key!r} follows from the data, where it is {fixed[key]}: leave it out")
    return {"name": name, **fixed, **options}


def levels_for(axes: Sequence[int]) -> tuple[int, ...]:
    """Channels of each level, finest first, for a U-Net over axes of these lengths."""
    longest = max(axes)
    entries = 1
    for n in axes:
        entries *= n
    if longest <= 8:
        return (48, 80) if entries <= 64 else (32, 64)
    if longest <= 16:
        return (48, 96, 96)
    return (32, 96, 128) if entries <= 40**2 else (32, 64, 96, 128)


def read(text: str) -> tuple[str, dict[str, Any]]:
    """The class and the options of `unet(levels=(64, 128))`. Raises ReverieError."""
    name, _, rest = text.partition("(")
    cls = discover.lookup("network", nn, Backbone, name.strip())
    if not rest:
        return cls.__name__, {}
    try:
        assert len(rest) <= discover.LONGEST
        call = ast.parse(f"f({rest}", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args
        return cls.__name__, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AssertionError, TypeError, RecursionError, MemoryError):
        raise ReverieError(f"cannot read network {text[:80]!r}: write name(option=value, ...)") from None
