"""Training a diffusion model of a data set: the body that the recipes of this package share."""

import abc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from .. import discover
from ..codecs.base import Codec
from ..codecs.pixels import Pixels
from ..codecs.standard import Standard
from ..conditioning.automatic import automatic
from ..conditioning.base import Conditioner
from ..core import densities, grids, parameterizations, schedules, weights
from ..core.denoisers import Cast
from ..core.densities import Density, LogNormal, Stratified
from ..core.losses import DenoisingLoss
from ..core.noise import Seeded, stream
from ..core.parameterizations import Karras, LogSNR, Parameterization
from ..core.schedules import Schedule
from ..core.weights import Weight
from ..data.base import Dataset
from ..data.order import which
from ..errors import ReverieError
from ..modalities.arrays import Arrays
from ..modalities.base import Modality
from ..modalities.images import Images
from ..samplers.dpmpp_2m import DPMpp2M
from ..systems.diffusion import Defaults, Diffusion, build_backbone
from ..training.loop import seeded
from .base import Recipe, option
from .networks import network_for
from .running import train_run


@dataclass(frozen=True)
class Generation(Recipe, abc.ABC):
    """The options of training; what is None is chosen, once, and written into the run's recipe.json."""

    minutes: float | None = option(
        None, "train for about this long; the samples it amounts to are measured at the start"
    )
    samples: int | None = option(None, "train until this many samples were seen, whatever the minutes")
    seed: int = option(0, "of weights, order and noise")
    batch: int = option(32, "samples an update")
    micro_batch: int | None = option(None, "samples at a time, where a batch does not fit in memory")
    learning_rate: float = option(2e-3, "the highest; it rises over the first samples and falls at the end")
    weight_decay: float = option(0.0, "of AdamW")
    warmup: int = option(5_000, "samples over which the learning rate rises")
    decay: float = option(0.6, "share of training over which the learning rate falls to nothing")
    average: float = option(0.1, "length of the average of the weights that is saved, as a share of training")
    network: str | None = option(None, "such as 'unet(levels=(64, 128), blocks=2)'; chosen by the data's shape")
    schedule: str = option("cosine", "noise schedule: " + ", ".join(("cosine", "rectified", "ve", "laplace", "...")))
    parameterization: str = option("karras", "what the network predicts: karras, velocity, flow, clean, noise")
    weight: str = option("karras", "of the loss over noise levels: karras, simple, minsnr, sigmoid, flow, ...")
    density: str = option("lognormal", "noise levels trained on: lognormal, uniform, logitnormal")
    dropout: float = option(0.1, "share of samples trained without their condition, which guidance needs")
    scale: float = option(1.0, "of guidance when sampling, unless another is asked for; 1 is none")
    held_out: int = option(0, "samples kept from training to evaluate against, where a set has none of its own")
    dtype: str | None = option(None, "float32 or bfloat16; the faster in a short trial")
    checkpoints: int = option(8, "times that training is saved on the way")
    snapshots: int = option(16, "times that averages are kept, to choose their length afterwards")

    @abc.abstractmethod
    def dataset(self) -> Dataset:
        """The data, with their `test` part where there is one."""

    def run(self, out=None, resume=False):
        return train_run(self, out, resume)

    def loaded(self) -> Dataset:
        data = self.dataset()
        if self.held_out and data.test is None:
            data, test = data.split(self.held_out, self.seed)
            data.test = test
        return data

    def checked(self) -> None:
        """Raises ReverieError for options that cannot be, before anything is written."""
        for name in ("batch", "micro_batch", "samples", "minutes", "learning_rate", "checkpoints", "snapshots"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ReverieError(f"{name.replace('_', '-')} must be more than 0, not {value}")
        if self.micro_batch and self.batch % self.micro_batch:
            raise ReverieError(f"a batch of {self.batch} is not a whole number of micro-batches of {self.micro_batch}")
        if self.dtype not in (None, "float32", "bfloat16"):
            raise ReverieError(f"dtype is float32 or bfloat16, not {self.dtype!r}")
        if not 0 <= self.dropout < 1:
            raise ReverieError(f"dropout is a share below 1, not {self.dropout}")
        discover.parse("schedule", schedules, Schedule, self.schedule)
        discover.parse("parameterization", parameterizations, Parameterization, self.parameterization)
        discover.parse("weight", weights, Weight, self.weight)
        discover.parse("density", densities, Density, self.density)

    def shared_among(self, processes: int) -> None:
        """Raises ReverieError where a batch cannot be shared out evenly, whole micro-batches to each process."""
        share = self.batch // processes
        if self.batch % processes or (self.micro_batch and share % self.micro_batch):
            raise ReverieError(f"a batch of {self.batch} cannot be shared among {processes} processes in equal parts")

    def system(self, data: Dataset) -> Diffusion:
        """The model with fresh weights, a function of the data and the options."""
        codec: Codec = Pixels.fit(data) if data.raw.dtype == torch.uint8 else Standard.fit(data)
        conditioner = automatic(data, self.dropout)
        written = Arrays(data.ending or ".npy", data.dtype or "float32")
        modality: Modality = Images() if data.modality == "Images" else written
        with seeded(stream(self.seed, "weights")):
            backbone = build_backbone(network_for(data.shape, self.network, conditioner.backbone_options()))
        schedule = discover.parse("schedule", schedules, Schedule, self.schedule)
        parameterization = discover.parse(
            "parameterization", parameterizations, Parameterization, self.parameterization
        )
        if parameterization == Karras():
            parameterization = Karras(codec.std)
        # the source of a set known by name says what it is; of other data, where they lie on this machine
        source = data.source if type(self).data else ""
        about = {"name": data.name, "licence": data.licence, "source": source, "data": data.fingerprint(),
                 "count": len(data)}  # fmt: skip
        defaults = Defaults(
            DPMpp2M(), grids.Karras(20, sigma_min=0.01), self.default_scale(conditioner), self.dtype or "float32"
        )
        try:
            return Diffusion(backbone, schedule, parameterization, LogSNR(), codec, conditioner, modality, data.shape,
                             defaults, about)  # fmt: skip
        except ValueError as error:
            raise ReverieError(str(error)) from None

    def default_scale(self, conditioner: Conditioner) -> float:
        """The scale, where there is something to guide to; raises ReverieError where it could not be had."""
        if self.scale != 1 and conditioner.keys and not conditioner.has_null:
            raise ReverieError(
                "a --scale other than 1 needs a --dropout above 0, so that the model learns to do without"
            )
        return self.scale if conditioner.keys else 1.0

    def loss(self, system: Diffusion) -> DenoisingLoss:
        weight = discover.parse("weight", weights, Weight, self.weight)
        if weight == weights.Karras():
            weight = weights.Karras(system.codec.std)
        density = discover.parse("density", densities, Density, self.density)
        if density == LogNormal():  # of unit-variance data: wider data need as much more noise
            density = replace(density, mean=density.mean + torch.tensor(system.codec.std).log().item())
        if not isinstance(density, Stratified):
            density = Stratified(density)
        return DenoisingLoss(Cast(system.denoiser, getattr(torch, self.dtype or "float32")), weight, density)


def batches(
    data: Dataset, codec: Codec, conditioner: Conditioner, *, seed: int, seen: int, total: int, batch: int,
    micro_batch: int, rank: int = 0, processes: int = 1, device: torch.device | str = "cpu",
) -> Iterator[Mapping[str, Any]]:  # fmt: skip
    """What losses are called with, micro-batch by micro-batch, from `seen` to `total` samples.

    Which sample comes, and all that is random about it, is a function of (seed, place): batches, workers and processes
    only share the places out.
    """
    share = batch // processes
    while seen < total:
        for first in range(seen + rank * share, seen + (rank + 1) * share, micro_batch):
            places = range(first, min(first + micro_batch, seen + (rank + 1) * share))
            rows, noise = which(seed, places, len(data)), Seeded.at(seed, places, "train")
            x = codec.encode(data.raw[rows]).to(device)
            values = {key: value[rows] for key, value in data.values.items()}
            condition = conditioner(values, noise) if conditioner.keys else {}
            yield {"x": x, "noise": noise, **{key: value.to(device) for key, value in condition.items()}}
        seen += batch
