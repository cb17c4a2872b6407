"""A diffusion model as model.json describes it: its parts read, the strange and the impossible refused by name."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from .. import codecs, conditioning, modalities, nn, samplers
from ..codecs.base import Codec
from ..conditioning.base import Conditioner
from ..core import grids, parameterizations, schedules
from ..core.grids import Grid
from ..core.parameterizations import NoiseInput, Parameterization
from ..core.schedules import Schedule
from ..discover import Plan, construct, describe, lookup
from ..errors import ReverieError, unknown
from ..guidance.base import Guidance
from ..modalities.base import Modality
from ..nn.base import Backbone
from ..samplers.base import Sampler
from ..samplers.dpmpp_2m import DPMpp2M
from .bounds import check_about, check_grid, check_keys, check_shape, check_together, modest
from .guiding import planned

KEYS = ("about", "modality", "shape", "backbone", "schedule", "parameterization", "noise_input", "codec", "conditioner",
        "defaults")  # fmt: skip
MOST_PARAMETERS = 20_000_000_000
DTYPES = ("float32", "bfloat16", "float16")
ALWAYS = ("sampler", "grid", "scale", "dtype")
"""Of the defaults, those that every model.json states."""


@dataclass(frozen=True)
class Defaults:
    """How a system samples unless told otherwise; `scale` is that of guidance, 1 for none.

    `guidance` are methods around every guess, whatever else is asked for: the clamping that a checkpoint was made for.
    `weak` names weights of the run that are less trained: a model that knows no conditions is guided away from what they
    guess, where the scale is not 1 (autoguidance). `start` is the standard deviation of what sampling starts from, None
    for that of the noise at the first time: tools of tables start from unit noise at levels that are not all noise.
    """

    sampler: Sampler = DPMpp2M()
    grid: Grid = grids.LogSNR(25)
    scale: float = 1.0
    dtype: str = "float32"
    guidance: tuple[Plan[Guidance], ...] = ()
    start: float | None = None
    weak: str = ""


def read_parts(description: Mapping[str, Any], beside: Callable[[Sequence[int]], Mapping[str, int]]) -> dict[str, Any]:
    """All parts but the network, as `Diffusion` takes them; `beside` says what the network must be built with for a shape, beside
    what the conditioner needs. Raises ReverieError for what is missing, strange, out of bounds, or does not go together.
    """
    check_keys(description, KEYS)
    shape, about = description["shape"], description["about"]
    check_shape(shape)
    check_about(about)
    schedule: Schedule = construct("schedule", schedules, Schedule, description["schedule"])
    told: NoiseInput = construct("noise input", parameterizations, NoiseInput, description["noise_input"])
    codec: Codec = construct("codec", codecs, Codec, description["codec"])
    conditioner: Conditioner = construct("conditioner", conditioning, Conditioner, description["conditioner"])
    defaults = read_defaults(description["defaults"])
    for what, part in (
        ("schedule", schedule),
        ("noise input", told),
        ("sampler", defaults.sampler),
        ("grid", defaults.grid),
    ):
        modest(f"model.json: its {what}", part)
    check_together(sketched(description["backbone"]), codec, conditioner, shape, beside(shape))
    check_grid(defaults.grid, schedule)
    return {
        "schedule": schedule,
        "parameterization": construct(
            "parameterization", parameterizations, Parameterization, description["parameterization"]
        ),
        "noise_input": told, "codec": codec, "conditioner": conditioner,
        "modality": construct("modality", modalities, Modality, description["modality"]),
        "shape": shape, "defaults": defaults, "about": about,
    }  # fmt: skip


def describe_defaults(defaults: Defaults) -> dict[str, Any]:
    """Those that are not as ever, and those that are always stated."""
    return {
        f.name: describe(value)
        for f in fields(Defaults)
        if (value := getattr(defaults, f.name)) != f.default or f.name in ALWAYS
    }


def build_backbone(data: Any) -> Backbone:
    """The network that {"name": ..., option: ...} describes, counted before it is allocated. Raises ReverieError."""
    sketch = sketched(data)
    return type(sketch)(**sketch.config)


def sketched(data: Any) -> Backbone:
    """The same network with shapes and no memory, of a size that is credible. Raises ReverieError."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ReverieError("model.json: backbone must be an object with a name")
    cls = lookup("backbone", nn, Backbone, data["name"])
    config = {key: value for key, value in data.items() if key != "name"}
    try:
        sketch = cls.sketch(**config)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ReverieError(f"backbone {cls.__name__} cannot be made: {str(error)[:200]}") from None
    size = sum(p.numel() for p in sketch.parameters())
    if size > MOST_PARAMETERS:
        raise ReverieError(f"backbone {cls.__name__} would have {size:.3g} parameters: more than any of ours")
    return sketch


def read_defaults(data: Any) -> Defaults:
    if not isinstance(data, Mapping):
        raise ReverieError("model.json: defaults must be an object")
    for key in data:
        if key not in {f.name for f in fields(Defaults)}:
            raise unknown("key of defaults", str(key), [f.name for f in fields(Defaults)])
    scale, dtype = data.get("scale", 1.0), data.get("dtype", "float32")
    if type(scale) not in (int, float) or dtype not in DTYPES:
        raise ReverieError("model.json: defaults have a scale that is no number, or an unknown dtype")
    start, around, weak = data.get("start"), planned(data.get("guidance")), data.get("weak", "")
    if not isinstance(weak, str) or not re.fullmatch(r"\w{0,40}", weak):
        raise ReverieError(f"model.json: its defaults name weights {str(weak)[:40]!r}, which is not a name")
    if start is not None and not (type(start) in (int, float) and start > 0):
        raise ReverieError(f"model.json: sampling starts from noise of a deviation above 0, not {str(start)[:40]}")
    if any("strong" in one.parts for one in around):
        raise ReverieError(
            "model.json: the guidance that is always on goes around a guess, and sets nothing against it"
        )
    return Defaults(
        construct("sampler", samplers, Sampler, data.get("sampler")),
        construct("grid", grids, Grid, data.get("grid")),
        float(scale),
        dtype,
        around,
        None if start is None else float(start),
        weak,
    )
