"""Pictures from prompts, learned from captioned ones."""

from dataclasses import dataclass

import torch

from ..conditioning.encoders import Encoder, identity
from ..conditioning.text import Text, packed
from ..data.base import Dataset
from ..data.builtin import emoji, faces
from ..errors import ReverieError
from ..modalities.images import Images
from ..systems.base import Samples
from .base import option
from .folder import Folder

SHOWN, COARSE = 20, 8
FINE = "unet(levels=(48, 80, 112), blocks=1, attention=(False, True, True), groups=8, patch=2)"
LATENT = "unet(levels=(96, 160), blocks=1, attention=(False, True), groups=8)"
"""Of 8 x 8 positions at most, as latents have."""


@dataclass(frozen=True)
class TextToImage(Folder):
    """Your own folder of captioned pictures: a .txt beside each, or a metadata.jsonl; then `reverie sample RUN --prompt`."""

    minutes: float | None = option(
        30.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    encoder: str = option("minilm", "what reads the prompts: a package of `reverie data get`")
    tokens: int = option(24, "of a prompt that are read")
    network: str | None = option(None, "its attentions are those that read the prompt; chosen by the sides")
    density: str = option(
        "lognormal(mean=0.4,std=1.6)", "noise levels trained on; more of the high ones, where prompts decide"
    )
    scale: float = option(3.0, "of guidance when sampling, unless another is asked for; 1 is none")
    sampler: str = option("dpmpp_2m", "when sampling, unless another is asked for; `reverie samplers` lists them")

    reads_captions = True

    def loaded(self):
        data = super().loaded()
        data.values, data.classes, data.scalar_names = prompts(data), (), ()
        if data.test is not None:
            data.test.values, data.test.classes, data.test.scalar_names = prompts(data.test), (), ()
        return data

    def parts(self, data):
        encoder = Encoder("BertModel", self.encoder, self.tokens)
        folder = encoder.place(None)
        encoder = Encoder("BertModel", self.encoder, self.tokens, sha256=identity(folder))
        width = encoder(["a"], folder, folder).tokens.shape[2]
        text = Text((encoder,), width, self.dropout, pooled=width)
        text.remember(data.captions)
        return self.coded(data), text, Images()

    def usual(self, shape):
        return LATENT if max(shape[1:]) <= COARSE else FINE

    def preview(self, system, data) -> Samples:
        held = data.test.captions if data.test is not None else ()
        shown = list(
            dict.fromkeys((*held[:: max(1, len(held) // (SHOWN // 2))], *data.captions[:: len(data) // SHOWN + 1]))
        )
        return system.generate(SHOWN, seed=self.seed, condition=shown[:SHOWN], sample_steps=12, dtype=self.dtype)


@dataclass(frozen=True)
class Emoji(TextToImage):
    """Emoji in Google's style from their names, 32 x 32; a tenth of the concepts is held out."""

    data: str = "emoji"
    size: int | None = option(32, "pixels of a side: 16, 32 or 64")
    batch: int = option(64, "samples an update")
    tokens: int = option(16, "of a prompt that are read")

    def dataset(self):
        return emoji.even(emoji.pictures("google", self.size or 32))


@dataclass(frozen=True)
class Faces(TextToImage):
    """Drawn faces from captions that say exactly what they are made of, 32 x 32; a tenth of pairs of attributes is held out."""

    data: str = "faces"
    size: int | None = option(32, "pixels of a side: 16, 32 or 64")
    tokens: int = option(40, "of a prompt that are read")

    def dataset(self):
        return faces.pictures(self.size or 32)


def prompts(data: Dataset) -> dict[str, torch.Tensor]:
    """The captions as values of samples. Raises ReverieError where there are none."""
    if not data.captions:
        raise ReverieError(
            f"{data.name} has no captions: put a .txt beside each picture, or a metadata.jsonl with file_name and text"
        )
    return {"prompt": packed(data.captions)}
