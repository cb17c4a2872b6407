"""Pipelines whose network is one of diffusers' own: DiT, PixArt and Flux."""

import inspect
import math
from typing import ClassVar

from ..codecs.latent import Latent
from ..conditioning.labels import Labels
from ..conditioning.text import MaskedText, PooledText
from ..core.grids import Shifted
from ..core.parameterizations import Flow, Time
from ..core.schedules import Rectified
from ..errors import ReverieError, printable
from ..nn.borrowed import Borrowed, lent
from ..reading import read_object
from ..samplers.ddim import DDIM
from .autoencoders import read_autoencoder
from .base import Pipeline, assembled, size_of
from .folders import Folder, Part
from .networks import filled
from .schedulers import FLOWS, MOST_LEVELS, READERS, Scheduled, read_scheduler
from .settings import Settings
from .stable_diffusion import read_encoder, unused

NOTHING = (None, False, 0, 0.0, "default")
"""What settings of older classes say where they ask for nothing."""
MOST_CLASSES = 2**16


def borrowed(part: Part, kind: str) -> Borrowed:
    """The network of a part, of a class of diffusers under its own or its older name. Raises ReverieError."""
    what = f"{part.kind} of {part.folder.parent.name}"
    known = set(inspect.signature(lent(kind).__init__).parameters) - {"self"}
    told = {name: value for name, value in part.config.items() if not name.startswith("_")}
    strange = [name for name, value in told.items() if name not in known and value not in NOTHING]
    if strange:
        raise ReverieError(
            f"{what} says {printable(', '.join(sorted(strange))[:200])}, which {kind} has not: it is not imported"
        )
    settings = {name: value for name, value in told.items() if name in known}
    return filled(lambda: Borrowed(kind, settings), part, None, what)


class DiT(Pipeline):
    """Pictures of a class: `DiTPipeline`."""

    names = ("DiTPipeline",)
    parts: ClassVar[tuple[str, ...]] = ("vae", "transformer", "scheduler")

    def system(self, folder):
        unused(folder, self.parts, {"id2label": None})
        scheduled = read_scheduler(folder.part("scheduler", READERS), 50)
        codec: Latent = read_autoencoder(folder.part("vae", ["AutoencoderKL"]))
        part = folder.part("transformer", ["DiTTransformer2DModel", "Transformer2DModel"])
        network = borrowed(part, "DiTTransformer2DModel")
        shape = (codec.channels, *size_of(part, 32))
        conditioner = Labels(classes(folder, network.classes), 0.1)
        return assembled(folder, network, scheduled, codec, conditioner, shape, 4.0)


def classes(folder: Folder, count: int) -> tuple[str, ...]:
    """Names by model_index.json, numbers where it has none; of classes of one name all but the first say their number too."""
    said = folder.settings.get("id2label") or {}
    if not isinstance(said, dict) or not 0 < count <= MOST_CLASSES:
        raise ReverieError(f"{folder.path}: id2label names no classes")
    found: list[str] = []
    for i in range(count):
        name = said.get(str(i), str(i))
        if not isinstance(name, str) or not 0 < len(name) <= 1000:
            raise ReverieError(f"{folder.path}: id2label names class {i} {printable(str(name)[:40])!r}")
        found.append(f"{name} ({i})" if name in found else name)
    return tuple(found)


class PixArt(Pipeline):
    """Prompt to picture by T5: `PixArtAlphaPipeline` and `PixArtSigmaPipeline`."""

    names = ("PixArtAlphaPipeline", "PixArtSigmaPipeline")
    lengths: ClassVar[dict[str, int]] = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}

    def system(self, folder):
        unused(folder, ("vae", "transformer", "scheduler", "text_encoder", "tokenizer"), {})
        scheduled = read_scheduler(folder.part("scheduler", READERS), 20)
        codec: Latent = read_autoencoder(folder.part("vae", ["AutoencoderKL"]))
        part = folder.part("transformer", ["PixArtTransformer2DModel", "Transformer2DModel"])
        network = borrowed(part, "PixArtTransformer2DModel")
        length = self.lengths[folder.pipeline]
        encoder, place = read_encoder(folder, "text_encoder", "tokenizer", "T5EncoderModel", length=length)
        conditioner = MaskedText((encoder,), network.tokens, 0.0).at({encoder.folder: place})
        return assembled(folder, network, scheduled, codec, conditioner, (codec.channels, *size_of(part, 128)), 4.5)


class FluxPipeline(Pipeline):
    """Prompt to picture by a flow that needs no guidance: `FluxPipeline`."""

    names = ("FluxPipeline",)
    size, steps = 128, 28
    """Positions of a side, which the folder does not say, and steps."""

    def system(self, folder):
        parts = ("vae", "transformer", "scheduler", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
        unused(folder, parts, {})
        codec: Latent = read_autoencoder(folder.part("vae", ["AutoencoderKL"]))
        part = folder.part("transformer", ["FluxTransformer2DModel"])
        network = borrowed(part, "FluxTransformer2DModel")
        scheduled = self.scheduled(folder.part("scheduler", FLOWS))
        first, at = read_encoder(folder, "text_encoder", "tokenizer", "CLIPTextModel")
        second, at_2 = read_encoder(folder, "text_encoder_2", "tokenizer_2", "T5EncoderModel", padding=True, length=512)
        if network.channels != codec.channels:
            raise ReverieError(f"{part.folder} takes {network.channels} channels, where latents have {codec.channels}")
        pooled = read_object(at[0] / "config.json", endless=True).get("hidden_size")
        if pooled != network.scalars:
            raise ReverieError(
                f"{part.folder} is told {network.scalars} numbers, and the text encoder makes {str(pooled)[:20]}"
            )
        conditioner = PooledText((first, second), network.tokens, 0.0, True, network.scalars)
        conditioner = conditioner.at({first.folder: at, second.folder: at_2})
        return assembled(folder, network, scheduled, codec, conditioner, (codec.channels, self.size, self.size))

    def scheduled(self, part: Part) -> Scheduled:
        """A straight line, its times shifted by as much as pictures of this size ask for, or by a number."""
        told = Settings(part.config, f"{part.kind} of {part.folder.parent.name}")
        count, factor = told.take("num_train_timesteps", 1000), told.take("shift", 1.0)
        if not 3 <= count <= MOST_LEVELS or not 0 < factor < 1e3:
            raise told.refused("shift", factor, f"of {count} levels, where more than 0 of 3 to {MOST_LEVELS} is done")
        low, high = told.take("base_shift", 0.5), told.take("max_shift", 1.15)
        first, last = told.take("base_image_seq_len", 256), told.take("max_image_seq_len", 4096)
        dynamic = told.take("use_dynamic_shifting", False)
        told.must_be("time_shift_type", "exponential", why="where exponential is what is done here")
        told.must_be("shift_terminal", None, why="where the last level is none here")
        for name in (
            "invert_sigmas",
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "stochastic_sampling",
        ):
            told.must_be(name, False, why="where False is what is done here")
        told.done()
        if dynamic:
            if first == last or not all(abs(one) < 20 for one in (low, high)):
                raise told.refused("max_shift", high, f"from {low} at {first} patches, over {last}")
            factor = math.exp(low + (high - low) * ((self.size // 2) ** 2 - first) / (last - first))
        return Scheduled(Rectified(), Flow(), Time(float(count)), Shifted(self.steps, float(factor)), DDIM())
