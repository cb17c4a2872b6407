"""Names and options on their way out: they work for one more minor version, with a warning that says what to write."""

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from .errors import ReverieError, ReverieWarning

F = TypeVar("F", bound=Callable[..., Any])


class Deprecated(ReverieWarning):
    """Shown to whoever runs the program, not to developers alone: it is they who must change a command or a line."""


def deprecated(old: str, new: str, *, until: str, level: int = 2) -> None:
    """Warns that `old` ends with version `until`, such as "0.3", and what is to be written in its place.

    `level` is that of `warnings.warn`, counted from the caller: 2 points at the line that called the caller.
    """
    warnings.warn(f"{old} is deprecated and ends with reverie {until}: use {new}", Deprecated, stacklevel=level + 1)


def former_names(module: str, names: Mapping[str, str], *, until: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module whose names were others.

    __getattr__ = former_names(__name__, {"Old": "New"}, until="0.3")
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        deprecated(f"{module}.{name}", f"{module}.{names[name]}", until=until)
        return getattr(sys.modules[module], names[name])

    return find


def former_option(old: str, new: str, *, until: str) -> Callable[[F], F]:
    """A function that still takes its keyword argument `new` by the name `old`. Raises ReverieError for both at once."""

    def around(function: F) -> F:
        @wraps(function)
        def taken(*given: Any, **options: Any) -> Any:
            if old in options:
                if new in options:
                    raise ReverieError(f"{old} is the former name of {new}: give one of them")
                deprecated(f"the option {old}", new, until=until)
                options[new] = options.pop(old)
            return function(*given, **options)

        return taken  # type: ignore[return-value]

    return around


def outlived(until: str, version: str) -> bool:
    """Whether what was to end with one version is still there in the other; both are like 0.3 or 0.3.1.dev0."""
    return minor(version) >= minor(until)


def minor(version: str) -> tuple[int, int]:
    major, second = version.split(".")[:2]
    return int(major), int(second)
