"""What a data set known by name is."""

import abc

from ... import discover
from ..base import Dataset


class Builtin(abc.ABC):
    """A named data set. The class's name is the set's, in whatever case; its docstring's first line presents it."""

    @abc.abstractmethod
    def load(self) -> Dataset:
        """The set, with its `test` part. Raises ReverieError naming the command that fetches what is not there."""


def load(name: str) -> Dataset:
    """The data set of that name. Raises ReverieError where there is none, with the nearest name."""
    from .. import builtin

    return discover.lookup("data set", builtin, Builtin, name)().load()
