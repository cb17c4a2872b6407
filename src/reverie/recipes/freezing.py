"""Parts of a network that training leaves as they are."""

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import nn

from ..errors import ReverieError


def freeze(network: nn.Module, patterns: str) -> list[str]:
    """The names of the parameters that need no gradient from here on: those of the parts that any of the patterns names.

    Patterns are shell-style and stand apart by commas: `down.*, conditions`. A part is a module or a parameter, and what
    is in it belongs to it. Raises ReverieError for a pattern that names nothing, and where nothing is left to train.
    """
    parameters = dict(network.named_parameters())
    frozen = set()
    for pattern in filter(None, (one.strip() for one in patterns.split(","))):
        found = {name for name in parameters if any(fnmatchcase(place, pattern) for place in places(name))}
        if not found:
            raise unknown_part(pattern, sorted({place for name in parameters for place in places(name)}))
        frozen |= found
    if len(frozen) == len(parameters):
        raise ReverieError(f"--freeze {patterns!r} leaves nothing to train: name fewer parts")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return [name for name in parameters if name in frozen]


def places(name: str) -> list[str]:
    """down.0.conv.weight -> down, down.0, down.0.conv, down.0.conv.weight"""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def unknown_part(pattern: str, known: list[str]) -> ReverieError:
    stem = re.sub(r"[*?\[\]]", "", pattern).strip(".")
    near = get_close_matches(stem, known, n=3, cutoff=0.5)
    guess = f"The nearest are {', '.join(near)}. " if near else ""
    whole = ", ".join(dict.fromkeys(name.split(".")[0] for name in known))
    return ReverieError(f"--freeze {pattern!r} names no part of the network. {guess}It consists of {whole}.")
