"""What a description that may be hostile can ask for, at most: nothing beyond is built, drawn or computed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..codecs.base import Codec
from ..codecs.standard import Standard
from ..conditioning.base import Conditioner
from ..core.grids import Grid, Resampled
from ..core.schedules import Schedule
from ..discover import describe
from ..errors import ReverieError, unknown
from ..nn.base import Backbone

MOST_WHOLE = 10**5
"""The largest whole number of a schedule, sampler or grid, and the most steps of one."""
MOST_STEPS = 10_000
"""That are asked for of a sample."""
MOST_NUMBERS = 2**28
"""Of one sample."""
KNOWN = {"name": str, "licence": str, "source": str, "data": str, "weights": str, "count": int, "seen": int}
"""What `about` may say in a kind of its own; whatever else it says is shown and not used."""


def modest(what: str, part: Any) -> None:
    """Raises ReverieError where a frozen part, its defaults included, counts further than any that can be computed."""
    if max(map(abs, wholes(describe(part))), default=0) > MOST_WHOLE or steps_of(part) > MOST_WHOLE:
        raise ReverieError(f"{what} asks for more steps than any sample needs: {type(part).__name__} is not used")


def steps_of(part: Any) -> int:
    """About how many times a grid has, none of them computed; 0 for what is no grid."""
    if isinstance(part, Resampled):
        return 2 * steps_of(part.grid) * max(part.repeats, 1)
    return part.steps if isinstance(part, Grid) else 0


def wholes(data: Any) -> list[int]:
    """All whole numbers in plain data."""
    if isinstance(data, Mapping):
        return [n for value in data.values() for n in wholes(value)]
    if isinstance(data, (list, tuple)):
        return [n for value in data for n in wholes(value)]
    return [data] if type(data) is int else []


def check_keys(description: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raises ReverieError where model.json has other keys than these."""
    for key in description:
        if key not in keys:
            raise unknown("key of model.json", key, keys)
    for key in keys:
        if key not in description:
            raise ReverieError(f"model.json lacks {key!r}")


def check_shape(shape: Any) -> None:
    if (
        not isinstance(shape, list)
        or not 2 <= len(shape) <= 4
        or not all(type(n) is int and 0 < n < 2**16 for n in shape)
    ):
        raise ReverieError(f"model.json: shape must be [channels, sizes...], not {str(shape)[:80]}")
    if math.prod(shape) > MOST_NUMBERS:
        raise ReverieError(f"model.json: a sample of shape {shape} is larger than any of ours")


def check_about(about: Any) -> None:
    if not isinstance(about, dict):
        raise ReverieError("model.json: about must be an object")
    for key, kind in KNOWN.items():
        if key in about and type(about[key]) is not kind:
            raise ReverieError(
                f"model.json: about says {key} {str(about[key])[:40]!r}, which must be of kind {kind.__name__}"
            )


def check_together(
    backbone: Backbone, codec: Codec, conditioner: Conditioner, shape: list[int], beside: Mapping[str, int]
) -> None:
    """Raises ReverieError where the network takes other samples or other conditions than the parts beside it make."""
    needed = {"classes": 0, "scalars": 0, "tokens": 0, "maps": 0, **conditioner.backbone_options(), **beside,
              "spatial": len(shape) - 1, "channels": shape[0], "out_channels": shape[0]}  # fmt: skip
    for key, value in needed.items():
        if (own := getattr(backbone, key)) != value:
            raise ReverieError(
                f"model.json contradicts itself: its backbone has {key}={own}, its other parts need {value}"
            )
    if isinstance(codec, Standard) and len(codec.mean) != shape[0]:
        raise ReverieError(f"model.json contradicts itself: a codec of {len(codec.mean)} channels for {shape[0]}")


def check_grid(grid: Grid, schedule: Schedule) -> None:
    """Raises ReverieError where the grid has no times on the schedule."""
    try:
        times = grid(schedule)
        fits = bool(((times >= 0) & (times <= 1)).all())
    except (TypeError, ValueError, ArithmeticError, RuntimeError, IndexError) as error:
        raise ReverieError(f"model.json: its grid has no times on its schedule: {str(error)[:200]}") from None
    if not fits:
        raise ReverieError("model.json: its grid has times that are not from 0 to 1")
