"""Conditioners: what is said about a sample, as tensors for the backbone, and the condition that says nothing."""

from .augmented import Augmented
from .automatic import automatic
from .base import Conditioner
from .joint import Joint
from .labels import Labels
from .scalars import Scalars
from .unconditional import Unconditional

__all__ = ["Augmented", "Conditioner", "Joint", "Labels", "Scalars", "Unconditional", "automatic"]
