"""Which axes of an array are which, and numbers that training can use."""

from collections.abc import Sequence

import numpy as np

from ..errors import ReverieError

MANY = 8
"""Channels above which an array is more likely to lack its channel axis than to have so many."""
WORDS = {1: "positions", 2: "rows and columns", 3: "layers, rows and columns"}


def channels(x: np.ndarray, axes: int | None) -> tuple[np.ndarray, list[str]]:
    """(N, C, *axes), with a channel axis where there was none, and how it was read."""
    inner = x.ndim - 1
    if axes is None:
        axes = max(1, inner - 1)
        if axes > 3:
            raise ReverieError(f"an array {x.shape} has more than 3 axes after N and C")
        if inner > 1 and x.shape[1] > MANY:
            raise ReverieError(
                f"an array {x.shape} can be read in two ways: axes={axes} for {x.shape[1]} channels"
                + (f", axes={inner} for one channel that was left out" if inner <= 3 else "")
                + "; if the channels come last, move them first: np.moveaxis(x, -1, 1)"
            )
    if inner not in (axes, axes + 1):
        raise ReverieError(f"an array {x.shape} cannot have {axes} axes after N and C")
    x = x[:, None] if inner == axes else x
    return x, [read_as(x.shape)]


def read_as(shape: Sequence[int]) -> str:
    """What arrays (N, C, *axes) were taken for."""
    n, c, *axes = shape
    return f"read as {n} samples of {counted(c)} with {WORDS[len(axes)]} {' x '.join(map(str, axes))}"


def counted(n: int) -> str:
    return f"{n} channel{'s' if n > 1 else ''}"


def finite(x: np.ndarray, name: str, first: int = 0) -> np.ndarray:
    """x, samples from number `first` on, as float32. Raises ReverieError naming the first that is not finite there."""
    with np.errstate(over="ignore"):
        raw = np.ascontiguousarray(x, dtype=np.float32)
    bad = ~np.isfinite(raw)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        where = (at[0] + first, *at[1:])
        many = f"{int(bad.sum())} numbers are" if bad.sum() > 1 else "one number is"
        raise ReverieError(
            f"{name}: {many} not finite in float32, the first at index {where}: {x[at]}; "
            "leave those samples out or fill the gaps, and save again"
        )
    return raw
