"""Data sets known by name, one a file."""

from .base import Builtin, load

__all__ = ["Builtin", "load"]
