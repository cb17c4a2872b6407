"""Training a diffusion model of a data set: the body that the recipes of this package share."""

import abc
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from .. import discover, samplers
from ..codecs.base import Codec
from ..codecs.pixels import Pixels
from ..codecs.standard import Standard
from ..conditioning.augmented import Augmented
from ..conditioning.automatic import automatic
from ..conditioning.base import Conditioner
from ..core import densities, grids, parameterizations, schedules, weights
from ..core.denoisers import Cast
from ..core.densities import Density, LogNormal, Stratified
from ..core.losses import DenoisingLoss
from ..core.noise import stream
from ..core.parameterizations import Karras, LogSNR, Parameterization
from ..core.schedules import Schedule
from ..core.weights import Weight
from ..data.augmentations import Augmentation
from ..data.base import Dataset
from ..errors import ReverieError, unknown
from ..modalities.arrays import Arrays
from ..modalities.base import Modality
from ..modalities.images import Images
from ..samplers.base import Sampler
from ..systems.base import WEIGHTS, Samples
from ..systems.diffusion import Defaults, Diffusion, build_backbone
from ..training.loop import seeded
from ..training.optimizers import OPTIMIZERS
from .base import Recipe, option
from .feeding import MOST_WORKERS, Change
from .freezing import freeze
from .networks import network_for
from .running import train_run

COMPILE = ("auto", "on", "off")


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
    learning_rate: float | None = option(
        None, "the highest, 0.004 for muon and 0.002 for adamw; it rises over the first samples and falls at the end"
    )
    optimizer: str = option("muon", "muon, which learns more from each sample, or adamw")
    weight_decay: float = option(0.0, "of the optimizer")
    warmup: int = option(5_000, "samples over which the learning rate rises")
    decay: float = option(0.6, "share of training over which the learning rate falls to nothing")
    average: float = option(0.1, "length of the average of the weights that is saved, as a share of training")
    source: str = option("", "a run, or a shipped model, whose weights this one starts from", flag="from")
    from_weights: str = option("ema", "which weights of that run: ema or raw")
    freeze: str = option("", "parts of the network that stay as that run has them, such as 'down.*, conditions'")
    network: str | None = option(
        None, "such as 'unet(levels=(64, 128), blocks=2)'; that of --from, or chosen by the data's shape"
    )
    schedule: str | None = option(
        None, "noise schedule: cosine, rectified, ve, laplace, ...; that of --from, or cosine"
    )
    parameterization: str | None = option(
        None, "what the network predicts: karras, velocity, flow, clean, noise; that of --from, or karras"
    )
    weight: str = option("karras", "of the loss over noise levels: karras, simple, minsnr, sigmoid, flow, ...")
    density: str = option("lognormal", "noise levels trained on: lognormal, uniform, logitnormal")
    dropout: float = option(0.1, "share of samples trained without their condition, which guidance needs")
    augment: float = option(
        0.0,
        "probability of each geometric change of a sample, told to the network so that none leaks; 0.12 for little data",
    )
    sampler: str = option("dpmpp_2m", "when sampling, unless another is asked for; `reverie samplers` lists them")
    sample_steps: int = option(20, "when sampling, unless another number is asked for")
    scale: float = option(1.0, "of guidance when sampling, unless another is asked for; 1 is none")
    self_guidance: float = option(
        1.0, "scale of guidance away from the model's own early self, of samples without conditions; 1 is none"
    )
    held_out: int = option(0, "samples kept from training to evaluate against, where a set has none of its own")
    dtype: str | None = option(None, "float32 or bfloat16; the faster in a short trial")
    compile: str = option(
        "auto", "kernels compiled for this machine: on, off, or auto, where a trial before a long training shows a gain"
    )
    checkpointing: bool = option(
        False,
        "compute the inside of every block twice and keep none of it: less memory, a third more work, same gradients",
    )
    workers: int = option(0, "threads that prepare batches ahead; 0 prepares each when it is needed. Changes no bytes")
    checkpoints: int = option(8, "times that training is saved on the way")
    snapshots: int = option(16, "times that averages are kept, to choose their length afterwards")

    kind: ClassVar[type[Diffusion]] = Diffusion
    """Of the system that is trained."""
    loudest: ClassVar[float] = 80.0
    """sigma / alpha where sampling begins."""
    after: ClassVar[str] = "Make samples with"
    command: ClassVar[str] = "reverie sample {run}"
    """What is said at the end."""

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
        for name in (
            "batch",
            "micro_batch",
            "samples",
            "minutes",
            "learning_rate",
            "checkpoints",
            "snapshots",
            "sample_steps",
        ):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ReverieError(f"{name.replace('_', '-')} must be more than 0, not {value}")
        if self.micro_batch and self.batch % self.micro_batch:
            raise ReverieError(f"a batch of {self.batch} is not a whole number of micro-batches of {self.micro_batch}")
        if self.dtype not in (None, "float32", "bfloat16"):
            raise ReverieError(f"dtype is float32 or bfloat16, not {self.dtype!r}")
        if self.compile not in COMPILE:
            raise unknown("choice of compile", self.compile, COMPILE)
        if not 0 <= self.workers <= MOST_WORKERS:
            raise ReverieError(f"workers are 0 to {MOST_WORKERS}, not {self.workers}")
        if self.optimizer not in OPTIMIZERS:
            raise unknown("optimizer", self.optimizer, OPTIMIZERS)
        if not 0 <= self.self_guidance < 100:
            raise ReverieError(f"self-guidance is a scale from 0 to 100, not {self.self_guidance}")
        for name in ("dropout", "augment"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise ReverieError(f"{name} is a share below 1, not {value}")
        if self.from_weights not in WEIGHTS:
            raise unknown("weights", self.from_weights, WEIGHTS)
        self.process()
        discover.parse("weight", weights, Weight, self.weight)
        discover.parse("density", densities, Density, self.density)
        discover.parse("sampler", samplers, Sampler, self.sampler)

    def shared_among(self, processes: int) -> None:
        """Raises ReverieError where a batch cannot be shared out evenly, whole micro-batches to each process."""
        share = self.batch // processes
        if self.batch % processes or (self.micro_batch and share % self.micro_batch):
            raise ReverieError(f"a batch of {self.batch} cannot be shared among {processes} processes in equal parts")

    def process(self) -> tuple[Schedule, Parameterization]:
        """How noise is added, and what the network predicts."""
        return (
            discover.parse("schedule", schedules, Schedule, self.schedule or "cosine"),
            discover.parse("parameterization", parameterizations, Parameterization, self.parameterization or "karras"),
        )

    def augmentation(self, data: Dataset) -> Change | None:
        """What is done to samples at random, None where nothing is."""
        return Augmentation.of(data.shape, self.augment, data.modality == "Images") if self.augment else None

    def shape(self, data: Dataset) -> tuple[int, ...]:
        """(C, *axes) of what the network sees."""
        return data.shape

    def parts(self, data: Dataset) -> tuple[Codec, Conditioner, Modality]:
        """How samples are coded, what is said of them, and how they are written."""
        codec: Codec = Pixels.fit(data) if data.raw.dtype == torch.uint8 else Standard.fit(data)
        conditioner = automatic(data, self.dropout)
        if isinstance(augmentation := self.augmentation(data), Augmentation):
            conditioner = Augmented(conditioner, augmentation.names)
        written = Arrays(data.ending or ".npy", data.dtype or "float32")
        return codec, conditioner, Images() if data.modality == "Images" else written

    def preview(self, system: Diffusion, data: Dataset) -> Samples:
        """What is looked at on the way."""
        scale = 1.0 if system.defaults.weak else None
        return system.generate(20, seed=self.seed, sample_steps=12, dtype=self.dtype, scale=scale)

    def system(self, data: Dataset) -> Diffusion:
        """The model with fresh weights, a function of the data and the options; what is frozen needs no gradient."""
        (codec, conditioner, modality), shape = self.parts(data), self.shape(data)
        conditions = {**conditioner.backbone_options(), **self.kind.beside(shape)}
        with seeded(stream(self.seed, "weights")):
            backbone = build_backbone(network_for(shape, self.network, conditions))
        freeze(backbone, self.freeze)
        backbone.checkpoint = self.checkpointing
        schedule, parameterization = self.process()
        if parameterization == Karras():
            parameterization = Karras(codec.std)
        # the source of a set known by name says what it is; of other data, where they lie on this machine
        source = data.source if type(self).data else ""
        about = {"name": data.name, "licence": data.licence, "source": source, "data": data.fingerprint(),
                 "count": len(data)}  # fmt: skip
        defaults = Defaults(
            discover.parse("sampler", samplers, Sampler, self.sampler),
            grids.Karras(self.sample_steps, sigma_min=0.01, sigma_max=self.loudest),
            self.default_scale(conditioner),
            self.dtype or "float32",
        )
        try:
            return self.kind(backbone, schedule, parameterization, LogSNR(), codec, conditioner, modality, shape,
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
