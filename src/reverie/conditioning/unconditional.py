"""Nothing is said."""

from dataclasses import dataclass

from ..errors import ReverieError
from .base import Conditioner, each


@dataclass(frozen=True)
class Unconditional(Conditioner):
    """No condition at all: no tensors, and nothing for guidance to leave out."""

    has_null = False
    keys = ()

    def __call__(self, values, noise=None):
        return {}

    def null(self, n):
        return {}

    def parse(self, entries):
        asked = [entry for entry in each(entries) if entry is not None]
        if asked:
            raise ReverieError(f"this model takes no condition; leave out {asked[0]!r}")
        return {}

    def backbone_options(self):
        return {}
