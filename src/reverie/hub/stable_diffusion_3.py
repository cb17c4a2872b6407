"""Stable Diffusion 3 and 3.5: a flow in latents, by a transformer of patches and tokens."""

from collections.abc import Sequence
from typing import Any, ClassVar

from ..codecs.latent import Latent
from ..conditioning.text import StackedText
from ..errors import ReverieError
from ..nn.layouts import JOINT
from ..nn.mmdit import MMDiT
from ..reading import read_object
from .autoencoders import read_autoencoder
from .base import Pipeline, assembled, size_of
from .folders import Part
from .networks import filled
from .schedulers import FLOWS, read_scheduler
from .settings import Settings
from .stable_diffusion import read_encoder, unused

STEPS, SCALE = 28, 7.0
BLANK = 256
"""Vectors in the place of the third encoder's, where a folder has none."""
PARTS = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3", "transformer",
         "scheduler")  # fmt: skip


class StableDiffusion3(Pipeline):
    """Prompt to picture by a flow: `StableDiffusion3Pipeline`, and what it is called for edits."""

    names = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline")
    settings: ClassVar[dict[str, Any]] = {}

    def system(self, folder):
        unused(folder, PARTS, self.settings)
        scheduled = read_scheduler(folder.part("scheduler", FLOWS), STEPS)
        codec: Latent = read_autoencoder(folder.part("vae", ["AutoencoderKL"]))
        part = folder.part("transformer", ["SD3Transformer2DModel"])
        network = read_joint(part, codec.channels)
        first, at = read_encoder(folder, "text_encoder", "tokenizer", "CLIPTextModelWithProjection", layer=-2)
        second, at_2 = read_encoder(folder, "text_encoder_2", "tokenizer_2", "CLIPTextModelWithProjection", layer=-2)
        encoders, places = [first, second], {first.folder: at, second.folder: at_2}
        if "text_encoder_3" in folder.parts:
            third, at_3 = read_encoder(
                folder, "text_encoder_3", "tokenizer_3", "T5EncoderModel", padding=True, length=BLANK
            )
            encoders.append(third)
            places[third.folder] = at_3
        pooled = sum(_projection(place[0] / "config.json") for place in (at, at_2))
        if network.scalars != pooled:
            raise ReverieError(f"{part.folder} is told {network.scalars} numbers, and the text encoders make {pooled}")
        blank = 0 if len(encoders) == 3 else BLANK
        conditioner = StackedText(tuple(encoders), network.tokens, 0.0, True, pooled, blank).at(places)
        return assembled(folder, network, scheduled, codec, conditioner, (codec.channels, *size_of(part, 128)), SCALE)


def _projection(path) -> int:
    width = read_object(path, endless=True).get("projection_dim", 512)
    if type(width) is not int or not 0 < width < 2**16:
        raise ReverieError(f"{path} says projection_dim={str(width)[:40]}, which is no width")
    return width


def read_joint(part: Part, channels: int) -> MMDiT:
    """`SD3Transformer2DModel` as ours. Raises ReverieError."""
    what = f"{part.kind} of {part.folder.parent.name}"
    told = Settings(part.config, what)
    for name in ("in_channels", "out_channels"):
        told.must_be(name, channels, why=f"where latents have {channels} channels")
    size = told.take("sample_size", 128)
    patch, depth = told.take("patch_size", 2), told.take("num_layers", 18)
    head, heads = told.take("attention_head_dim", 64), told.take("num_attention_heads", 18)
    width = head * heads
    told.must_be("caption_projection_dim", width, why="where tokens and patches are equally wide")
    dual: Sequence[int] = told.take("dual_attention_layers", (), (list, tuple))
    normed = told.one_of("qk_norm", None, (None, "rms_norm"))
    config = {
        "channels": channels, "patch": patch, "width": width, "depth": depth, "head_size": head,
        "tokens": told.take("joint_attention_dim", 4096), "scalars": told.take("pooled_projection_dim", 2048),
        "dual": list(dual), "normed": normed is not None, "places": told.take("pos_embed_max_size", 96),
        "base": float(size // patch) if patch else None, "noise_scale": 1.0,
    }  # fmt: skip
    told.done()
    return filled(lambda: MMDiT(**config), part, JOINT, what)
