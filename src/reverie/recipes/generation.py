"""Training a diffusion model of a data set: the body that the recipes of this package share."""

import abc
from collections.abc import Sequence
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
from ..systems.described import Defaults, build_backbone
from ..systems.diffusion import Diffusion
from ..training.loop import seeded
from .base import option
from .card import card
from .feeding import Change
from .freezing import freeze
from .gaussians import fitted
from .latents import codec_of, named
from .learning import Training
from .networks import chosen_network, network_for
from .session import EARLY
from .starting import started, take_over

COMPILE = ("auto", "on", "off")


@dataclass(frozen=True)
class Generation(Training, abc.ABC):
    """The options of training a diffusion model."""

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
    compile: str = option(
        "auto", "kernels compiled for this machine: on, off, or auto, where a trial before a long training shows a gain"
    )
    checkpointing: bool = option(
        False,
        "compute the inside of every block twice and keep none of it: less memory, a third more work, same gradients",
    )

    kind: ClassVar[type[Diffusion]] = Diffusion
    """Of the system that is trained."""
    loudest: ClassVar[float] = 80.0
    """sigma / alpha where sampling begins."""

    def checked(self) -> None:
        super().checked()
        if self.sample_steps < 1:
            raise ReverieError(f"sample-steps must be more than 0, not {self.sample_steps}")
        if self.compile not in COMPILE:
            raise unknown("choice of compile", self.compile, COMPILE)
        if not 0 <= self.self_guidance < 100:
            raise ReverieError(f"self-guidance is a scale from 0 to 100, not {self.self_guidance}")
        for name in ("dropout", "augment"):
            if not 0 <= (value := getattr(self, name)) < 1:
                raise ReverieError(f"{name} is a share below 1, not {value}")
        if self.from_weights not in WEIGHTS:
            raise unknown("weights", self.from_weights, WEIGHTS)
        if self.codec and self.augment:
            raise ReverieError("samples are not changed in latents, which turn with no picture: leave out --augment")
        self.process()
        discover.parse("weight", weights, Weight, self.weight)
        discover.parse("density", densities, Density, self.density)
        discover.parse("sampler", samplers, Sampler, self.sampler)

    def started(self, data, before=None):
        recipe, begun = started(self, data, before)
        if self.codec:
            begun = {**begun, "codec": named(self.codec, codec_of(self.codec))}
        return recipe, begun

    def take_over(self, told, system):
        take_over(self, told, system)

    def closed(self, data, total):
        return replace(
            super().closed(data, total), network=self.network or self.usual(self.shape(data)),
            schedule=self.schedule or "cosine", parameterization=self.parameterization or "karras",
        )  # fmt: skip

    def usual(self, shape: Sequence[int]) -> str:
        """The network for samples (C, *axes) where none is asked for."""
        return chosen_network(shape)

    def plain(self):
        return replace(super().plain(), compile="off")

    def finish(self, system, data, average, early):
        if self.self_guidance != 1 and not system.conditioner.keys:
            weak, scale = (EARLY, self.self_guidance) if early else ("", 1.0)
            system.defaults = replace(system.defaults, weak=weak, scale=scale)
        if type(system) is Diffusion and system.gaussians is None:
            system.gaussians = fitted(system, data)

    def card(self, system, folder):
        return card(system, folder, self)

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
        return codec_of(self.codec).shape(data.shape) if self.codec else data.shape

    def coded(self, data: Dataset) -> Codec:
        """What samples are in, when they are learned."""
        if self.codec:
            return codec_of(self.codec)
        return Pixels.fit(data) if data.raw.dtype == torch.uint8 else Standard.fit(data)

    def parts(self, data: Dataset) -> tuple[Codec, Conditioner, Modality]:
        """How samples are coded, what is said of them, and how they are written."""
        codec = self.coded(data)
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
            backbone = build_backbone(network_for(shape, self.network or self.usual(shape), conditions))
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
        return denoising(system, self.weight, self.density, self.dtype or "float32")


def denoising(system: Diffusion, weight: str, density: str, dtype: str) -> DenoisingLoss:
    """The loss of a system's denoiser, its weight and density by name; those of data of unit variance follow the data's."""
    counted = discover.parse("weight", weights, Weight, weight)
    if counted == weights.Karras():
        counted = weights.Karras(system.codec.std)
    drawn = discover.parse("density", densities, Density, density)
    if drawn == LogNormal():  # wider data need as much more noise
        drawn = replace(drawn, mean=drawn.mean + torch.tensor(system.codec.std).log().item())
    if not isinstance(drawn, Stratified):
        drawn = Stratified(drawn)
    return DenoisingLoss(Cast(system.denoiser, getattr(torch, dtype)), counted, drawn)
