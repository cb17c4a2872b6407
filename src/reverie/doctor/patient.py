"""The run under examination: each of its parts opened once, when first asked for, and apart from the others."""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import codecs, conditioning, files
from ..codecs.base import Codec
from ..conditioning.base import Conditioner
from ..core import parameterizations, schedules
from ..core.densities import LogNormal
from ..core.noise import Seeded, stream
from ..core.parameterizations import NoiseInput, Parameterization
from ..core.schedules import Schedule
from ..data.base import Dataset
from ..discover import construct
from ..errors import ReverieError
from ..files import fill
from ..nn.base import Backbone
from ..reading import contained, read_object
from ..recipes.evaluating import located
from ..recipes.repeating import recorded
from ..systems.base import open_run, shipped
from ..systems.described import build_backbone
from ..systems.diffusion import Diffusion
from ..training.loop import seeded
from .measures import error, spectrum

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the noise levels that training spends most of its time on."""
MIDDLE = (1, 2, 3)
MOST_ROWS = 8192


class Batch(NamedTuple):
    """Real data as the network sees them, and noise for each."""

    z: Tensor
    eps: Tensor
    values: dict[str, Tensor]
    cond: dict[str, Tensor]


class Patient:
    """A run folder or a shipped model; `where` is the place of its data. Every part may raise ReverieError."""

    def __init__(self, run: str | Path, where: str | None = None) -> None:
        self.run, self.where = str(run), where
        self.folder = Path(run) if Path(run).is_dir() else shipped(str(run))
        if Path(run).is_dir():
            contained(self.folder)
        self._networks: dict[str, Backbone] = {}
        self._errors: dict[str, list[float]] = {}

    @cached_property
    def description(self) -> dict[str, Any]:
        return read_object(self.folder / "model.json")

    def part(self, key: str) -> Any:
        if key not in self.description:
            raise ReverieError(f"model.json lacks {key!r}")
        return self.description[key]

    @cached_property
    def settled(self) -> dict[str, Any]:
        """recipe.json, empty where there is none."""
        path = self.folder / "recipe.json"
        found = files.read_json(path) if path.is_file() else {}
        return found if isinstance(found, dict) else {}

    @property
    def options(self) -> dict[str, Any]:
        found = self.settled.get("options")
        return found if isinstance(found, dict) else {}

    @cached_property
    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The tensors of every file of weights that can be read."""
        found = {}
        for path in sorted((self.folder / "weights").glob("*.safetensors")):
            try:
                found[path.stem] = files.load_tensors(path)
            except ReverieError:
                continue
        return found

    def whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tensors of the run's network, of those that a checkpoint has."""
        try:
            recipe, _ = recorded(self.folder / "recipe.json")
        except ReverieError:
            return tensors
        return recipe.whole(tensors)

    def network(self, name: str = "ema") -> Backbone:
        """The network with those weights, in evaluation mode."""
        if name not in self._networks:
            if name not in self.weights:
                raise ReverieError(f"weights/{name}.safetensors cannot be read")
            network = build_backbone(self.part("backbone"))
            fill(network, self.weights[name], f"weights/{name}.safetensors")
            self._networks[name] = network.eval()
        return self._networks[name]

    @cached_property
    def initial(self) -> Backbone:
        """The network before training, from the recipe's seed; from seed 0 where that is not known."""
        seed = self.options.get("seed", 0)
        with seeded(stream(seed if isinstance(seed, int) else 0, "weights")):
            return build_backbone(self.part("backbone")).eval()

    @cached_property
    def system(self) -> Diffusion:
        name = "ema" if "ema" in self.weights else next(iter(self.weights), "ema")
        found = open_run(self.folder, name)
        if not isinstance(found, Diffusion):
            raise ReverieError(f"{type(found).__name__} is not a system that the doctor knows")
        return found

    @cached_property
    def schedule(self) -> Schedule:
        return construct("schedule", schedules, Schedule, self.part("schedule"))

    @cached_property
    def parameterization(self) -> Parameterization:
        return construct("parameterization", parameterizations, Parameterization, self.part("parameterization"))

    @cached_property
    def noise_input(self) -> NoiseInput:
        return construct("noise input", parameterizations, NoiseInput, self.part("noise_input"))

    @cached_property
    def codec(self) -> Codec:
        codec: Codec = construct("codec", codecs, Codec, self.part("codec"))
        codec.attach(self.folder)
        return codec

    @cached_property
    def conditioner(self) -> Conditioner:
        conditioner: Conditioner = construct("conditioner", conditioning, Conditioner, self.part("conditioner"))
        conditioner.attach(self.folder)
        return conditioner

    @cached_property
    def data(self) -> Dataset:
        data = located(self.run, self.where)[0]
        shape = tuple(self.codec.raw_shape(tuple(self.part("shape"))))
        if data.shape != shape:
            raise ReverieError(f"the data are samples of {data.shape}, the model's are {shape}")
        return data

    @cached_property
    def z(self) -> Tensor:
        """Encoded real data, (N, C, *axes), of which there may be more than these."""
        return self.codec.encode(self.data.raw[self.rows(MOST_ROWS, "z")])

    def rows(self, most: int, purpose: str) -> Tensor:
        generator = torch.Generator().manual_seed(stream(0, "doctor", purpose))
        return torch.randperm(len(self.data), generator=generator)[:most]

    @cached_property
    def batch(self) -> Batch:
        """Real samples to denoise, as many as their size allows."""
        size = math.prod(self.data.shape)
        return self.take(self.rows(96 if size <= 256 else 48 if size <= 4096 else 16, "batch"))

    def take(self, rows: Tensor) -> Batch:
        z = self.codec.encode(self.data.raw[rows])
        values = {key: value[rows] for key, value in self.data.values.items()}
        cond = self.conditioner(values) if self.conditioner.keys else self.conditioner.null(len(z))
        return Batch(z, Seeded.at(0, range(len(rows)), "doctor").draw(z), values, cond)

    @cached_property
    def spread(self) -> float:
        """The deviation of z about its mean over everything."""
        return self.z.double().std(correction=0).item()

    @cached_property
    def spectrum(self) -> Tensor:
        return spectrum(self.z)

    @cached_property
    def times(self) -> Tensor:
        """Times at the quantiles, float64."""
        return self.times_on(self.schedule)

    def times_on(self, schedule: Schedule) -> Tensor:
        density = LogNormal(LogNormal().mean + math.log(max(self.spread, 1e-6)))
        return density(schedule, torch.tensor(QUANTILES, dtype=torch.float64))

    def error(
        self,
        network: Backbone,
        level: int,
        cond: dict[str, Tensor] | None = None,
        most: int | None = None,
        **other: Any,
    ) -> float:
        """Mean squared error on the batch, or the first `most` of it, at one of the quantiles; by model.json unless
        `other` says otherwise.
        """
        how: dict[str, Any] = {"parameterization": self.parameterization, "noise_input": self.noise_input,
                               "schedule": self.schedule, **other}  # fmt: skip
        batch = self.batch
        t = self.times_on(how["schedule"])[level]
        cond = {key: value[:most] for key, value in (batch.cond if cond is None else cond).items()}
        found = error(network, x=batch.z[:most], eps=batch.eps[:most], t=t, cond=cond, **how)
        return found.mean().item()

    def errors(self, name: str) -> list[float]:
        """Of the network with those weights, at all quantiles."""
        if name not in self._errors:
            network = self.initial if name == "initial" else self.network(name)
            self._errors[name] = [self.error(network, level) for level in range(len(QUANTILES))]
        return self._errors[name]
