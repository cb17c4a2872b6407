"""The system of one denoiser: data, codec, denoiser, sampler, codec, data."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..codecs.base import Codec
from ..conditioning.base import Conditioner
from ..core.denoisers import Cast, Denoiser, Preconditioned
from ..core.gaussians import Gaussians
from ..core.grids import Grid, Karras
from ..core.noise import Seeded
from ..core.parameterizations import NoiseInput, Parameterization
from ..core.reuse import Reusing
from ..core.schedules import Schedule
from ..discover import Plan, describe
from ..errors import ReverieError, ReverieWarning, unknown
from ..files import load_tensors, save_tensors
from ..guidance.base import Guidance
from ..modalities.base import Modality
from ..nn.base import Backbone
from ..samplers.base import Sampler
from ..training.memory import OutOfMemory, shortage
from ..training.processes import bfloat16_is_fast
from .base import Progress, Samples, System, open_run
from .bounds import MOST_STEPS
from .described import DTYPES, Defaults, build_backbone, describe_defaults, read_parts, sketched
from .guiding import Asked, check_weak, guide, leads_away, needs_null, settled
from .kernels import check_compiles, kernels

STARTS = ("noise", "gaussian")
GAUSSIANS = Path("parts", "gaussians", "model.safetensors")


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

    @network.setter
    def network(self, network):
        self.denoiser.backbone = network

    @property
    def weak_weights(self):
        return self.defaults.weak

    @property
    def raw_shape(self) -> tuple[int, ...]:
        """(C, *axes) of the samples that it makes; `shape` is that of what its network sees."""
        return self.codec.raw_shape(self.shape)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> str:
        """What its network computes in unless told otherwise: the type of its defaults, or float32 where this machine has that
        only by emulation, which takes many times as long.
        """
        usual = self.defaults.dtype
        slow = (usual == "bfloat16" and not bfloat16_is_fast()) or (usual == "float16" and self.device.type == "cpu")
        return "float32" if slow else usual

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
            "defaults": describe_defaults(self.defaults),
        }

    _run: Path | None = None
    _early: "Diffusion | None" = None
    gaussians: Gaussians | None = None
    """Those of its data, fitted when it was trained."""

    def attach(self, folder):
        self._run = Path(folder)
        self.codec.attach(folder)
        self.conditioner.attach(folder)
        if (path := self._run / GAUSSIANS).is_file():
            try:
                classes = len(getattr(self.conditioner, "classes", ()))
                self.gaussians = Gaussians.of(load_tensors(path), math.prod(self.shape), classes)
            except (ValueError, ReverieError) as error:
                raise ReverieError(f"{path}: {error}; without {path.parent} it starts from noise") from None

    def store(self, folder):
        self.codec.store(folder)
        self.conditioner.store(folder)
        if self.gaussians is not None:
            save_tensors(Path(folder) / GAUSSIANS, self.gaussians.tensors())

    @classmethod
    def beside(cls, shape: Sequence[int]) -> dict[str, int]:
        """What the network must be built with, beside what the conditioner needs, for samples of that shape."""
        return {}

    @classmethod
    def build(cls, description):
        parts = read_parts(description, cls.beside)
        try:
            return cls(build_backbone(description["backbone"]), **parts)
        except (ValueError, ArithmeticError) as error:
            raise ReverieError(f"model.json describes no model: {error}") from None

    @classmethod
    def shapes(cls, description):
        return {name: tuple(one.shape) for name, one in sketched(description.get("backbone")).state_dict().items()}

    def generate(
        self, n: int = 16, *, seed: int = 0, index: Sequence[int] | None = None, condition: Any = ...,
        values: Mapping[str, Tensor] | None = None, scale: float | None = None, sampler: Sampler | None = None,
        grid: Grid | None = None, sample_steps: int | None = None, batch: int = 64, dtype: str | None = None,
        progress: Progress | None = None, guidance: Asked = None, weak: "Diffusion | None" = None, reuse: int = 1,
        compiled: bool = False, start: str = "noise",
    ) -> Samples:  # fmt: skip
        """Samples of the conditions asked for: one for all, a list in turn, None for none; left out, every class in turn.

        `values` (n rows each) are conditions that a data set holds. `guidance` is named as `reverie guidance` lists it,
        `apg(scale=3)`, or several methods, each around the one before; `scale` alone is classifier-free guidance. They
        lead away from the guess of no condition, or from that of a `weak` model under the same one: autoguidance. With
        `reuse` = K above 1 the inside of the network is computed at every K-th evaluation (`core.reuse`); `compiled` asks
        for kernels made for this machine, the same but for rounding. `start="gaussian"` takes the first part of the way by
        the Gaussians of the data (`core.gaussians`), and the sample steps are those of the rest: near as good by a few as
        by many. Sample i draws from the stream (seed, index i), so batch and company change only rounding. Raises
        ReverieError for a condition that is unknown, guidance that the model cannot give, and samples that are not finite.
        """
        parts = list(self.batches(n, seed=seed, index=index, condition=condition, values=values, scale=scale,
                                  sampler=sampler, grid=grid, sample_steps=sample_steps, batch=batch, dtype=dtype,
                                  progress=progress, guidance=guidance, weak=weak, reuse=reuse, compiled=compiled,
                                  start=start))  # fmt: skip
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
        progress: Progress | None = None, guidance: Asked = None, weak: "Diffusion | None" = None, reuse: int = 1,
        compiled: bool = False, start: str = "noise",
    ) -> Iterator[Samples]:  # fmt: skip
        """The samples of `generate`, a batch at a time: memory is that of a batch, however many there are.

        Where it runs out, the batch is made again in halves, with a warning, and so are those after it: sample i draws from
        its own stream, so it is the same. Raises OutOfMemory where even one sample does not fit.
        """
        rows = list(range(n)) if index is None else list(index)
        if not rows or min(rows) < 0 or batch < 1:
            raise ReverieError("ask for one sample or more, of index 0 or more, in batches of one or more")
        chosen = self.values(rows, condition) if values is None else dict(values)
        grid, dtype = self.grid(grid, sample_steps, start), dtype or self.dtype
        plans, scale = settled(guidance, scale, self.defaults.scale)
        weak = weak or self.early(plans, scale)
        if needs_null(plans, scale, weak):
            self.needs_null()
        if weak is not None:
            check_weak(self, weak)
        sampler = sampler or self.defaults.sampler
        if dtype not in DTYPES:
            raise unknown("dtype", dtype, DTYPES)
        times = grid(self.denoiser.schedule)
        first = 0
        info = {"seed": seed, "sampler": describe(sampler), "grid": describe(grid), "scale": scale, "dtype": dtype}
        info |= {"guidance": [describe(one) for one in plans]} if plans else {}
        info |= {"weak": {"sha256": weak.weights_hash}} if weak is not None else {}
        info |= {"reuse": reuse} if reuse != 1 else {}
        info |= {"compiled": True} if compiled else {}
        info |= {"gaussians": {"sha256": self.gaussians.sha256}} if start != "noise" and self.gaussians else {}
        networks = [one.network for one in (self, weak) if one is not None]
        if compiled:
            check_compiles(self.network, self.device)
        while first < len(rows):
            here = rows[first : first + batch]
            some = {key: value[first : first + batch] for key, value in chosen.items()}
            try:
                with shortage(f"on a batch of {len(here)}"), kernels(networks, compiled):
                    told = partial(_share, progress, first, len(here), len(rows))
                    denoiser = self.guided(some, len(here), scale, dtype, plans, weak, reuse)
                    noise = Seeded.at(seed, here)
                    which = None if start == "noise" else self.gaussian_of(some, noise)
                    raw = self.walk(denoiser, sampler, times, noise, told, which)
            except OutOfMemory as error:
                batch = _halved(len(here), error)
                continue
            yield Samples(raw, some, info, here)
            first += len(here)

    def walk(
        self,
        denoiser: Denoiser,
        sampler: Sampler,
        times: Tensor,
        noise: Seeded,
        told: Progress = lambda done, steps: None,
        which: Tensor | None = None,
    ) -> Tensor:
        """Raw samples (B, C, *axes) at the end of a trajectory; what is on the way goes with this frame. It begins with noise,
        or with the Gaussian `which` (B,) of each.
        """
        unit = noise.draw(torch.empty(len(noise.place), *self.shape, device=self.device))
        if which is None:
            x = self.start(unit, times[0])
        else:
            assert self.gaussians is not None
            x = self.gaussians.begin(unit, which, *denoiser.schedule(times[0]))
        for done, state in enumerate(sampler.trajectory(denoiser, x, times, noise), 1):
            x = state.x_t
            told(done, len(times) - 1)
        return self.codec.decode(_finite(x)).cpu()

    def start(self, unit: Tensor, t: Tensor) -> Tensor:
        """What a trajectory that begins at t begins with."""
        if self.defaults.start is not None:
            return self.defaults.start * unit
        schedule = self.denoiser.schedule
        return schedule.start(unit) if t == 1 else schedule(t)[1].item() * unit

    def gaussian_of(self, values: Mapping[str, Tensor], noise: Seeded) -> Tensor:
        """The Gaussian (B,) that each sample begins with: that of its class, or of one by chance where it has none."""
        assert self.gaussians is not None
        shares = self.gaussians.shares.double()
        if len(shares) == 1:
            return torch.zeros(len(noise.place), dtype=torch.int64)
        drawn = torch.searchsorted(
            shares.cumsum(0), noise.uniform(torch.empty(len(noise.place), 1)).cpu()[:, 0] * shares.sum()
        )
        label = values["label"].cpu() if "label" in values else torch.full_like(drawn, -1)
        return torch.where(label < 0, drawn.clamp(max=len(shares) - 1), label)

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

    def grid(self, grid: Grid | None, sample_steps: int | None, start: str = "noise") -> Grid:
        """The grid asked for, of so many steps; by default that of the model, or after a start by Gaussians the rest of the way.

        Raises ReverieError for a start that there is not, and steps that are none.
        """
        if start not in STARTS:
            raise unknown("start", start, STARTS)
        if start == "gaussian" and self.gaussians is None:
            raise ReverieError("this model has no Gaussians of its data to start from, which `reverie train` fits to data of "
                               "four samples or more (a class): leave out the start")  # fmt: skip
        if sample_steps is not None and not 1 <= sample_steps <= MOST_STEPS:
            raise ReverieError(f"sample steps are 1 to {MOST_STEPS}, not {sample_steps}")
        if start == "gaussian" and grid is None:
            return after_gaussians(sample_steps or self.defaults.grid.steps, self.codec.std)
        grid = grid or self.defaults.grid
        return grid if sample_steps is None else replace(grid, steps=sample_steps)  # type: ignore[type-var]

    def scale(self, scale: float | None) -> float:
        """The guidance scale; raises ReverieError where the model cannot be guided."""
        scale = self.defaults.scale if scale is None else scale
        if scale != 1:
            self.needs_null()
        return scale

    def early(self, plans: Sequence[Plan[Guidance]], scale: float) -> "Diffusion | None":
        """This model less trained, where its defaults name such weights and such guidance leads away from them.

        Raises ReverieError where the run that holds them is not known.
        """
        if not self.defaults.weak or self.conditioner.keys or not leads_away(plans, scale):
            return None
        if self._early is None:
            if self._run is None:
                raise ReverieError(
                    "the weights that guide this model lie in its run: load it from there, or say scale 1"
                )
            found = open_run(self._run, self.defaults.weak)
            assert isinstance(found, Diffusion)
            self._early = found
        self._early.network.to(self.device)
        return self._early

    def needs_null(self) -> None:
        """Raises ReverieError where the model does not know what it is to have no condition."""
        if not self.conditioner.keys:
            raise ReverieError(
                "this model knows no conditions, so there is nothing to guide it to: leave out the scale"
            )
        if not self.conditioner.has_null:
            raise ReverieError(
                "guidance contrasts a condition with none, and this model was trained without condition dropout, so it "
                "never saw none: leave out the scale, or train with --dropout 0.1"
            )

    def guided(
        self, values: Mapping[str, Tensor], n: int, scale: float, dtype: str, plans: Sequence[Plan[Guidance]] = (),
        weak: "Diffusion | None" = None, reuse: int = 1,
    ) -> Denoiser:  # fmt: skip
        """The denoiser of these conditions, extrapolated from none by the scale, or guided by the methods planned."""
        other = None if weak is None else weak.guided(values, n, 1.0, dtype, reuse=reuse)
        denoiser: Denoiser = Cast(self.denoiser, getattr(torch, dtype))
        if reuse != 1:
            try:
                denoiser = Reusing(denoiser, reuse)
            except ValueError as error:
                raise ReverieError(str(error)) from None
        return guide(self, denoiser, (*plans, *self.defaults.guidance), scale, values, n, other)


def after_gaussians(steps: int, std: float) -> Karras:
    """Where so few steps are best spent on data of that spread: docs/performance.md has what was measured."""
    return Karras(steps, sigma_min=1.5 * std / steps**1.5, sigma_max=1.25 * std * steps, whole=False)


def _share(progress: Progress | None, first: int, here: int, total: int, done: int, steps: int) -> None:
    """Tells what a batch of so many samples has done of the whole."""
    if progress:
        progress(first * steps + here * done, total * steps)


def _finite(x: Tensor) -> Tensor:
    """x itself. Raises ReverieError where it is not finite."""
    if not x.isfinite().all():
        raise ReverieError(
            "the samples are not finite numbers, and none was kept: try another sampler, more steps, a smaller guidance "
            "scale, or float32"
        )
    return x


def _halved(batch: int, error: OutOfMemory) -> int:
    """The next smaller batch, with a warning. Raises OutOfMemory where there is none."""
    if batch == 1:
        raise OutOfMemory(f"{error}, the smallest there is: free some, or choose bfloat16") from None
    less = batch // 2
    warnings.warn(f"{error}: going on with {less} at a time, which changes nothing but speed and rounding",
                  ReverieWarning, stacklevel=3)  # fmt: skip
    return less
