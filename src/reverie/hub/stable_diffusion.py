"""Stable Diffusion of versions 1, 2 and XL."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..codecs.latent import Latent
from ..conditioning.encoders import INDEX, Encoder, identity
from ..conditioning.text import LevelledText, SizedText, Text
from ..errors import ReverieError, ReverieWarning
from ..nn.spatial import SpatialUNet
from ..reading import read_object
from ..systems.diffusion import Diffusion
from ..systems.inpainting import Inpainting
from ..systems.latent_upscaling import LatentUpscaling
from .autoencoders import KINDS, read_autoencoder
from .base import Pipeline, assembled, size_of
from .folders import Folder
from .schedulers import READERS, read_scheduler
from .spatial_unets import read_spatial_unet

LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that judge pictures, or take some as prompts: not read, and said."""
STEPS = 50
KINDS_OF: tuple[type[Diffusion], ...] = (Diffusion, Inpainting)
"""Systems whose network is told nothing of a picture, or what is kept of it."""


def read_encoder(
    folder: Folder, name: str, tokenizer: str, network: str, length: int | None = None, **options: Any
) -> tuple[Encoder, tuple[Path, Path]]:
    """A text encoder, of as many tokens as its tokenizer says unless told otherwise, and where the two lie. Raises ReverieError
    where a part is missing.
    """
    part, words = folder.part(name, [network]), folder.parts.get(tokenizer)
    if words is None:
        raise ReverieError(f"{folder.path} is not whole: {folder.pipeline} needs a {tokenizer}")
    if all(path.name not in ("model.safetensors", INDEX) for path in part.folder.iterdir()):
        found = sorted({path.name for path in part.files().values()})
        raise ReverieError(
            f"{part.folder} holds its weights as {found[0]}: a text encoder is read from model.safetensors, or shards of it"
        )
    length = length or words.config.get("model_max_length")
    if type(length) is not int or not 2 <= length <= 4096:
        length = read_object(part.folder / "config.json", endless=True).get("max_position_embeddings", 77)
    return Encoder(network, name, int(length), sha256=identity(part.folder), **options), (
        part.folder,
        words.folder,
    )


def unused(folder: Folder, parts: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Says which parts are left out. Raises ReverieError for a part or a setting that nothing here knows; `settings` are those
    known, and the one value that is done, None for any.
    """
    if extra := set(folder.parts) - {*parts, *LEFT_OUT}:
        raise ReverieError(f"{folder.path}: {folder.pipeline} has no {', '.join(sorted(extra))[:100]}")
    if left := [name for name in LEFT_OUT if name in folder.parts]:
        warnings.warn(f"{folder.path}: left out are {', '.join(left)}", ReverieWarning, stacklevel=5)
    for name, value in folder.settings.items():
        if name not in settings or settings[name] not in (None, value):
            raise ReverieError(
                f"{folder.path}: {folder.pipeline} says {name}={str(value)[:40]}, which is not done here"
            )


class StableDiffusion(Pipeline):
    """Prompt to picture by latents: `StableDiffusionPipeline` of versions 1 and 2, and what it is called for edits."""

    names: ClassVar[tuple[str, ...]] = (
        "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    )  # fmt: skip
    parts: ClassVar[tuple[str, ...]] = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    settings: ClassVar[dict[str, Any]] = {"requires_safety_checker": None}
    """What model_index.json may say, and the one value of it that is done here, None for any."""
    scale = 7.5

    def system(self, folder):
        unused(folder, self.parts, self.settings)
        scheduled = read_scheduler(folder.part("scheduler", READERS), STEPS)
        codec: Latent = read_autoencoder(folder.part("vae", KINDS))
        unet = folder.part("unet", ["UNet2DConditionModel"])
        network = read_spatial_unet(unet, codec.channels)
        size = size_of(unet, 64)
        conditioner = self.conditioner(folder, network, [n * codec.factor for n in size])
        shape, scalars = (codec.channels, *size), conditioner.backbone_options().get("scalars", 0)
        kind = next((one for one in KINDS_OF if one.beside(shape).get("maps", 0) == network.maps), None)
        if kind is None or (network.classes, network.scalars) != (0, scalars):
            raise ReverieError(f"{unet.folder} is not told what {folder.pipeline} tells its network")
        return assembled(folder, network, scheduled, codec, conditioner, shape, self.scale, kind)

    def conditioner(self, folder: Folder, network: SpatialUNet, size: list[int]) -> Text:
        """`size` is that of the picture."""
        encoder, place = read_encoder(folder, "text_encoder", "tokenizer", "CLIPTextModel")
        return Text((encoder,), network.tokens, dropout=0.0, empty=True).at({encoder.folder: place})


class StableDiffusionXL(StableDiffusion):
    """`StableDiffusionXLPipeline`: two text encoders, and the sizes told."""

    names = ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline")
    parts = (*StableDiffusion.parts, "text_encoder_2", "tokenizer_2")
    settings: ClassVar[dict[str, Any]] = {
        "force_zeros_for_empty_prompt": None, "add_watermarker": None, "requires_aesthetics_score": False,
    }  # fmt: skip
    scale = 5.0

    def conditioner(self, folder, network, size):
        first, at = read_encoder(folder, "text_encoder", "tokenizer", "CLIPTextModel", layer=-2)
        second, at_2 = read_encoder(folder, "text_encoder_2", "tokenizer_2", "CLIPTextModelWithProjection", layer=-2)
        pooled = read_object(at_2[0] / "config.json", endless=True).get("projection_dim")
        if type(pooled) is not int or not 0 < pooled < network.scalars or (network.scalars - pooled) % 6:
            raise ReverieError(
                f"{folder.path}: text_encoder_2 says projection_dim={pooled}, which its unet does not go with"
            )
        zeros = folder.settings.get("force_zeros_for_empty_prompt", True) is True
        sizes = (*size, 0, 0, *size)
        frequencies = (network.scalars - pooled) // 6
        conditioner = SizedText((first, second), network.tokens, 0.0, True, pooled, sizes, frequencies, zeros)
        return conditioner.at({first.folder: at, second.folder: at_2})


class StableDiffusionUpscale(StableDiffusion):
    """`StableDiffusionUpscalePipeline`: four times as wide and as high, under a prompt."""

    names = ("StableDiffusionUpscalePipeline",)
    parts = (*StableDiffusion.parts, "low_res_scheduler")
    settings: ClassVar[dict[str, Any]] = {"max_noise_level": None, "requires_safety_checker": None, "watermarker": None}
    scale = 9.0
    level = 20
    """Of the noise in the small picture, unless told otherwise."""

    def system(self, folder):
        unused(folder, self.parts, self.settings)
        scheduled = read_scheduler(folder.part("scheduler", READERS), 75)
        noising = read_scheduler(folder.part("low_res_scheduler", ["DDPMScheduler"]), 75).schedule
        codec: Latent = read_autoencoder(folder.part("vae", KINDS))
        unet = folder.part("unet", ["UNet2DConditionModel"])
        network = read_spatial_unet(unet, codec.channels)
        most = folder.settings.get("max_noise_level", 350)
        if (
            network.maps != 3
            or type(most) is not int
            or not self.level <= most < network.classes + 1
            or network.scalars
        ):
            raise ReverieError(f"{unet.folder} is not told what {folder.pipeline} tells its network")
        encoder, place = read_encoder(folder, "text_encoder", "tokenizer", "CLIPTextModel")
        conditioner = LevelledText((encoder,), network.tokens, 0.0, level=self.level, levels=network.classes + 1)
        conditioner = conditioner.at({encoder.folder: place})
        shape = (codec.channels, *size_of(unet, 128))
        found = assembled(folder, network, scheduled, codec, conditioner, shape, self.scale, LatentUpscaling)
        assert isinstance(found, LatentUpscaling)
        found.noising, found.most = noising, most
        return found
