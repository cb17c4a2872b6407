"""The settings of a part of another tool, each of them taken, or refused by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ReverieError, printable


class Settings:
    """What a configuration says; `done` raises ReverieError for whatever nobody asked about."""

    def __init__(self, config: Mapping[str, Any], what: str) -> None:
        self.left = {name: value for name, value in config.items() if not name.startswith("_")}
        self.what = what

    def take(self, name: str, default: Any, kind: type | tuple[type, ...] | None = None) -> Any:
        """The value, which is of the kind of the default unless told otherwise; whole numbers are numbers.

        None stands for the default where that is None.
        """
        value = self.left.pop(name, default)
        kind = kind or type(default)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        kinds = (*kinds, int) if float in kinds else kinds
        if value is None and default is None:
            return None
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.refused(name, value, "of another kind than that setting is")
        return value

    def one_of(self, name: str, default: Any, known: Iterable[Any], why: str = "which is not known here") -> Any:
        known = list(known)
        value = self.left.pop(name, default)
        if not any(type(value) is type(one) and value == one for one in known):
            raise self.refused(name, value, f"{why}; known: {', '.join(map(str, known))}")
        return value

    def must_be(self, name: str, *values: Any, why: str) -> None:
        """The only values that are done here, the first of them the default."""
        value = self.left.pop(name, values[0])
        if not any(type(value) is type(one) and value == one for one in values):
            raise self.refused(name, value, why)

    def refused(self, name: str, value: Any, why: str) -> ReverieError:
        return ReverieError(f"{self.what}: {name}={printable(str(value)[:60])}, {why}")

    def done(self) -> None:
        if self.left:
            raise ReverieError(
                f"{self.what} says {printable(', '.join(sorted(self.left))[:200])}, which nothing here knows: it is not "
                "imported, since it would not be what it was"
            )
