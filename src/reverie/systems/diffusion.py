"""The system of one denoiser: data, codec, denoiser, sampler, codec, data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .. import codecs, conditioning, modalities, nn, samplers
from ..codecs.base import Codec
from ..conditioning.base import Conditioner
from ..core import grids, parameterizations, schedules
from ..core.denoisers import Cast, Denoiser, Preconditioned
from ..core.grids import Grid
from ..core.noise import Seeded
from ..core.parameterizations import NoiseInput, Parameterization
from ..core.schedules import Schedule
from ..discover import construct, describe, lookup
from ..errors import ReverieError, unknown
from ..guidance.extrapolation import Extrapolated
from ..modalities.base import Modality
from ..nn.base import Backbone
from ..samplers.base import Sampler
from ..samplers.dpmpp_2m import DPMpp2M
from .base import Progress, Samples, System

MOST_PARAMETERS = 20_000_000_000
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Defaults:
    """How a system samples unless told otherwise; `scale` is that of guidance, 1 for none."""

    sampler: Sampler = DPMpp2M()
    grid: Grid = grids.LogSNR(25)
    scale: float = 1.0
    dtype: str = "float32"


class Diffusion(System):
    """A denoiser of z = codec.encode(raw), under the conditions of a conditioner, for samples of one shape (C, *axes)."""

    def __init__(
        self, backbone: Backbone, schedule: Schedule, parameterization: Parameterization, noise_input: NoiseInput,
        codec: Codec, conditioner: Conditioner, modality: Modality, shape: Sequence[int],
        defaults: Defaults = Defaults(), about: Mapping[str, Any] = {},
    ) -> None:  # fmt: skip
        self.denoiser = Preconditioned(backbone, schedule, parameterization, noise_input)
        self.codec, self.conditioner, self.modality = codec, conditioner, modality
        self.shape, self.defaults, self.about = tuple(shape), defaults, dict(about)

    @property
    def network(self):
        return self.denoiser.backbone

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def describe(self):
        backbone = self.network
        return {
            "about": self.about,
            "modality": describe(self.modality),
            "shape": list(self.shape),
            "backbone": {"name": type(backbone).__name__, **backbone.config},
            "schedule": describe(self.denoiser.schedule),
            "parameterization": describe(self.denoiser.parameterization),
            "noise_input": describe(self.denoiser.noise_input),
            "codec": describe(self.codec),
            "conditioner": describe(self.conditioner),
            "defaults": {f.name: describe(getattr(self.defaults, f.name)) for f in fields(Defaults)},
        }

    @classmethod
    def build(cls, description):
        parts = dict(description)
        known = ["about", "modality", "shape", "backbone", "schedule", "parameterization", "noise_input", "codec",
                 "conditioner", "defaults"]  # fmt: skip
        for key in parts:
            if key not in known:
                raise unknown("key of model.json", key, known)
        for key in known:
            if key not in parts:
                raise ReverieError(f"model.json lacks {key!r}")
        shape, about = parts["shape"], parts["about"]
        if (
            not isinstance(shape, list)
            or not 2 <= len(shape) <= 4
            or not all(type(n) is int and 0 < n < 2**16 for n in shape)
        ):
            raise ReverieError(f"model.json: shape must be [channels, sizes...], not {str(shape)[:80]}")
        if not isinstance(about, dict):
            raise ReverieError("model.json: about must be an object")
        try:
            return cls(
                build_backbone(parts["backbone"]),
                construct("schedule", schedules, Schedule, parts["schedule"]),
                construct("parameterization", parameterizations, Parameterization, parts["parameterization"]),
                construct("noise input", parameterizations, NoiseInput, parts["noise_input"]),
                construct("codec", codecs, Codec, parts["codec"]),
                construct("conditioner", conditioning, Conditioner, parts["conditioner"]),
                construct("modality", modalities, Modality, parts["modality"]),
                shape,
                read_defaults(parts["defaults"]),
                about,
            )
        except ValueError as error:
            raise ReverieError(f"model.json describes no model: {error}") from None

    def generate(
        self, n: int = 16, *, seed: int = 0, index: Sequence[int] | None = None, condition: Any = ...,
        values: Mapping[str, Tensor] | None = None, scale: float | None = None, sampler: Sampler | None = None,
        grid: Grid | None = None, sample_steps: int | None = None, batch: int = 64, dtype: str | None = None,
        progress: Progress | None = None,
    ) -> Samples:  # fmt: skip
        """Samples of the conditions asked for: one for all, a list in turn, None for none; left out, every class in turn.

        `values` (n rows each) are conditions that a data set holds. Sample i draws from the stream (seed, index i), so
        batch and company change only rounding. Raises ReverieError for a condition that is unknown, guidance that the
        model cannot give, and samples that are not finite.
        """
        parts = list(self.batches(n, seed=seed, index=index, condition=condition, values=values, scale=scale,
                                  sampler=sampler, grid=grid, sample_steps=sample_steps, batch=batch, dtype=dtype,
                                  progress=progress))  # fmt: skip
        return Samples(
            torch.cat([part.raw for part in parts]),
            {key: torch.cat([part.values[key] for part in parts]) for key in parts[0].values},
            parts[0].info,
            [i for part in parts for i in part.index],
        )

    def batches(
        self, n: int = 16, *, seed: int = 0, index: Sequence[int] | None = None, condition: Any = ...,
        values: Mapping[str, Tensor] | None = None, scale: float | None = None, sampler: Sampler | None = None,
        grid: Grid | None = None, sample_steps: int | None = None, batch: int = 64, dtype: str | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Samples]:  # fmt: skip
        """The samples of `generate`, a batch at a time: memory is that of a batch, however many there are."""
        rows = list(range(n)) if index is None else list(index)
        if not rows or min(rows) < 0 or batch < 1:
            raise ReverieError("ask for one sample or more, of index 0 or more, in batches of one or more")
        chosen = self.values(rows, condition) if values is None else dict(values)
        grid, scale, dtype = self.grid(grid, sample_steps), self.scale(scale), dtype or self.defaults.dtype
        sampler = sampler or self.defaults.sampler
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        times = grid(self.denoiser.schedule)
        steps, done = (len(times) - 1) * -(-len(rows) // batch), 0
        info = {"seed": seed, "sampler": describe(sampler), "grid": describe(grid), "scale": scale, "dtype": dtype}
        for first in range(0, len(rows), batch):
            here = rows[first : first + batch]
            some = {key: value[first : first + batch] for key, value in chosen.items()}
            noise = Seeded.at(seed, here)
            like = torch.empty(len(here), *self.shape, device=self.device)
            x = self.denoiser.schedule.start(noise.draw(like)) if times[0] == 1 else None
            if x is None:
                x = self.denoiser.schedule(times[0])[1].item() * noise.draw(like)
            for state in sampler.trajectory(self.guided(some, len(here), scale, dtype), x, times, noise):
                x, done = state.x_t, done + 1
                if progress:
                    progress(done, steps)
            if not x.isfinite().all():
                raise ReverieError(
                    "the samples are not finite numbers, and none was kept: try another sampler, more steps, a smaller "
                    "guidance scale, or float32"
                )
            yield Samples(self.codec.decode(x).cpu(), some, info, here)

    def values(self, rows: Sequence[int], condition: Any) -> dict[str, Tensor]:
        """What is asked of each row: a list is taken in turn by index, so that sample i is the same alone."""
        if condition is ...:
            classes = getattr(self.conditioner, "classes", ())
            condition = list(range(len(classes))) if classes else None
        if not self.conditioner.keys:
            if condition is not None:
                raise ReverieError("this model knows no conditions: leave out the label")
            return {}
        wanted = condition if isinstance(condition, (list, tuple)) else [condition]
        asked = self.conditioner.parse(wanted)
        return {key: value[torch.tensor(rows) % len(wanted)] for key, value in asked.items()}

    def grid(self, grid: Grid | None, sample_steps: int | None) -> Grid:
        grid = grid or self.defaults.grid
        if sample_steps is None:
            return grid
        if sample_steps < 1:
            raise ReverieError(f"sample steps must be 1 or more, not {sample_steps}")
        return replace(grid, steps=sample_steps)  # type: ignore[type-var]

    def scale(self, scale: float | None) -> float:
        """The guidance scale; raises ReverieError where the model cannot be guided."""
        scale = self.defaults.scale if scale is None else scale
        if scale != 1 and not self.conditioner.keys:
            raise ReverieError(
                "this model knows no conditions, so there is nothing to guide it to: leave out the scale"
            )
        if scale != 1 and not self.conditioner.has_null:
            raise ReverieError(
                "guidance contrasts a condition with none, and this model was trained without condition dropout, so it "
                "never saw none: leave out the scale, or train with --dropout 0.1"
            )
        return scale

    def guided(self, values: Mapping[str, Tensor], n: int, scale: float, dtype: str) -> Denoiser:
        """The denoiser of these conditions, extrapolated from none by the scale."""
        denoiser = Cast(self.denoiser, getattr(torch, dtype))
        if not self.conditioner.keys:
            return denoiser
        strong = {key: value.to(self.device) for key, value in self.conditioner(dict(values)).items()}
        if scale == 1:
            return denoiser.given(**strong)
        weak = {key: value.to(self.device) for key, value in self.conditioner.null(n).items()}
        return Extrapolated(denoiser.given(**strong), denoiser.given(**weak), scale)


def build_backbone(data: Any) -> Backbone:
    """The network that {"name": ..., option: ...} describes, counted before it is allocated. Raises ReverieError."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name"), str):
        raise ReverieError("model.json: backbone must be an object with a name")
    cls = lookup("backbone", nn, Backbone, data["name"])
    config = {key: value for key, value in data.items() if key != "name"}
    try:
        size = cls.size(**config)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ReverieError(f"backbone {cls.__name__} cannot be made: {error}") from None
    if size > MOST_PARAMETERS:
        raise ReverieError(f"backbone {cls.__name__} would have {size:.3g} parameters: more than any of ours")
    return cls(**config)


def read_defaults(data: Any) -> Defaults:
    if not isinstance(data, Mapping):
        raise ReverieError("model.json: defaults must be an object")
    for key in data:
        if key not in {f.name for f in fields(Defaults)}:
            raise unknown("key of defaults", str(key), [f.name for f in fields(Defaults)])
    scale, dtype = data.get("scale", 1.0), data.get("dtype", "float32")
    if type(scale) not in (int, float) or dtype not in DTYPES:
        raise ReverieError("model.json: defaults have a scale that is no number, or an unknown dtype")
    return Defaults(
        construct("sampler", samplers, Sampler, data.get("sampler")),
        construct("grid", grids, Grid, data.get("grid")),
        float(scale),
        dtype,
    )
