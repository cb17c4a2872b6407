"""Autoencoders of diffusers as ours."""

from typing import Any

from ..codecs.latent import Latent, identity
from ..nn.autoencoder import Autoencoder
from ..nn.layouts import CODERS
from .folders import Part
from .networks import filled
from .settings import Settings

KINDS = ("AutoencoderKL", "VQModel")


def read_autoencoder(part: Part) -> Latent:
    """The codec, its autoencoder in memory. Raises ReverieError for a setting that is not done here."""
    config, means, deviations = coder_config(part)
    network = filled(lambda: Autoencoder(**config), part, CODERS, f"{part.kind} of {part.folder.parent.name}")
    scales = tuple(1 / s for s in deviations)
    return Latent(config["latent"], network.factor, scales, means, identity(network)).use(network)


def coder_config(part: Part) -> tuple[dict[str, Any], tuple[float, ...], tuple[float, ...]]:
    """The options of the network, and mean and deviation of its latents. Raises ReverieError likewise."""
    what = f"{part.kind} of {part.folder.parent.name}"
    told = Settings(part.config, what)
    channels = told.take("in_channels", 3)
    told.must_be("out_channels", channels, why="where as many channels come out as go in here")
    levels = list(told.take("block_out_channels", [64], (list, tuple)))
    for name, kind in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
        told.must_be(name, [kind] * len(levels), (kind,) * len(levels), why=f"where {kind} is what is done here")
    told.must_be("act_fn", "silu", "swish", why="where silu is what is done here")
    told.take("sample_size", None, (int, list, tuple))
    latent, groups = told.take("latent_channels", 4), told.take("norm_num_groups", 32)
    blocks = told.take("layers_per_block", 1)
    config: dict[str, Any] = {
        "channels": channels,
        "latent": latent,
        "levels": levels,
        "blocks": blocks,
        "groups": groups,
    }
    scale, shift = told.take("scaling_factor", 0.18215), told.take("shift_factor", None, float)
    mean, std = (told.take(name, None, (list, tuple)) for name in ("latents_mean", "latents_std"))
    if part.kind == "VQModel":
        told.must_be("norm_type", "group", why="where the decoder's norms are told nothing here")
        for name, value in (("lookup_from_codebook", False), ("force_upcast", False)):
            told.must_be(name, value, why="which is not read here")
        width = told.take("vq_embed_dim", None, int)
        config |= {"kind": "vq", "codes": told.take("num_vq_embeddings", 256), "width": width,
                   "attention": told.take("mid_block_add_attention", True)}  # fmt: skip
    else:
        told.take("force_upcast", True)  # ours is in float32
        quant, post = told.take("use_quant_conv", True), told.take("use_post_quant_conv", True)
        if quant != post:
            raise told.refused("use_quant_conv", quant, f"beside use_post_quant_conv={post}")
        config |= {"mixes": quant, "attention": told.take("mid_block_add_attention", True)}
    told.done()
    means, stds = mean or [shift or 0.0], [s / scale for s in std] if std else [1 / scale]
    return config, tuple(map(float, means)), tuple(stds)
