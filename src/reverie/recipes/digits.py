"""Handwritten digits."""

from dataclasses import dataclass

from ..data import builtin
from .base import option
from .generation import Generation


@dataclass(frozen=True)
class Digits(Generation):
    """Handwritten digits, 8 x 8, by class: minutes to a good model, on any machine."""

    data: str = "digits"
    batch: int = option(64, "samples an update")
    minutes: float | None = option(
        2.5, "train for about this long; the samples it amounts to are measured at the start"
    )

    def dataset(self):
        return builtin.load("digits")
