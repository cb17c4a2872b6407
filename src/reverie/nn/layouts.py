"""The U-Net's tensors under the names that diffusers' `UNet2DModel` gives them, and back: a renaming, nothing else.

Both networks are the same function: ours of c_noise is theirs of timestep = noise_scale * c_noise.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .attention import head_count
from .unet import UNet

RESIDUAL = {
    "norm_1": "norm1",
    "conv_1": "conv1",
    "modulation": "time_emb_proj",
    "norm_2": "norm2",
    "conv_2": "conv2",
    "skip": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
PLACES = {"down.#.stages": "down_blocks.#", "up.#.stages": "up_blocks.#", "middle": "mid_block"}
LAYERS = {
    "conditions.noise.0": "time_embedding.linear_1",
    "conditions.noise.2": "time_embedding.linear_2",
    "conditions.label": "class_embedding",
    "stem": "conv_in",
    "norm": "conv_norm_out",
    "head": "conv_out",
    "down.#.resample.conv": "down_blocks.#.downsamplers.0.conv",
    "up.#.resample.conv": "up_blocks.#.upsamplers.0.conv",
    **{f"{a}.#.residual.{c}": f"{b}.resnets.#.{d}" for a, b in PLACES.items() for c, d in RESIDUAL.items()},
    **{f"{a}.#.attention.{c}": f"{b}.attentions.#.{d}" for a, b in PLACES.items() for c, d in ATTENTION.items()},
}
"""Every layer of ours and theirs; # is a number, the same ones in the same order."""


PLAIN = {name: theirs for name, theirs in RESIDUAL.items() if name != "modulation"}
CODERS = {
    "before": "quant_conv",
    "after": "post_quant_conv",
    "codes": "quantize.embedding",
    **{
        f"{coder}.{ours}": f"{coder}.{theirs}"
        for coder in ("encoder", "decoder")
        for ours, theirs in {
            "stem": "conv_in",
            "norm": "conv_norm_out",
            "head": "conv_out",
            "down.#.resample.conv": "down_blocks.#.downsamplers.0.conv",
            "up.#.resample.conv": "up_blocks.#.upsamplers.0.conv",
            **{f"{a}.{c}": f"{b}.{d}" for a, b in {"down.#.stages.#": "down_blocks.#.resnets.#",
                                                  "up.#.stages.#": "up_blocks.#.resnets.#",
                                                  "middle.stages.#": "mid_block.resnets.#"}.items() for c, d in PLAIN.items()},
            **{f"middle.attention.{c}": f"mid_block.attentions.0.{d}" for c, d in ATTENTION.items()},
        }.items()
    },
}  # fmt: skip
"""Likewise of an `Autoencoder`, and of `AutoencoderKL` and `VQModel`."""

BLOCK = {
    "norm_1": "norm1", "norm_2": "norm2", "norm_3": "norm3", "gate": "ff.net.0.proj", "back": "ff.net.2",
    **{f"{a}.{c}": f"{b}.to_{d}" for a, b in {"own": "attn1", "cross": "attn2"}.items()
       for c, d in {"q": "q", "k": "k", "v": "v", "out": "out.0"}.items()},
}  # fmt: skip
SPATIAL = {
    **{name: theirs for name, theirs in LAYERS.items() if ".attention." not in name},
    "conditions.scalars.0": "add_embedding.linear_1",
    "conditions.scalars.2": "add_embedding.linear_2",
    **{f"{a}.#.cross.{c}": f"{b}.attentions.#.{d}" for a, b in PLACES.items()
       for c, d in {"norm": "norm", "inn": "proj_in", "out": "proj_out"}.items()},
    **{f"{a}.#.cross.blocks.#.{c}": f"{b}.attentions.#.transformer_blocks.#.{d}" for a, b in PLACES.items()
       for c, d in BLOCK.items()},
}  # fmt: skip
"""Likewise of a `SpatialUNet`, and of `UNet2DConditionModel`; where that has 1x1 convolutions, ours are linear."""


SIDE = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0", "norm_q": "norm_q", "norm_k": "norm_k"}
JOINT = {
    "conditions.noise.0": "time_text_embed.timestep_embedder.linear_1",
    "conditions.noise.2": "time_text_embed.timestep_embedder.linear_2",
    "conditions.scalars.0": "time_text_embed.text_embedder.linear_1",
    "conditions.scalars.2": "time_text_embed.text_embedder.linear_2",
    "embed": "pos_embed.proj",
    "table": "pos_embed",
    "tell": "context_embedder",
    "modulation": "norm_out.linear",
    "head": "proj_out",
    **{f"blocks.#.{ours}": f"transformer_blocks.#.{theirs}" for ours, theirs in {
        "modulation": "norm1.linear",
        "telling": "norm1_context.linear",
        "mlp.0": "ff.net.0.proj",
        "mlp.2": "ff.net.2",
        "told.0": "ff_context.net.0.proj",
        "told.2": "ff_context.net.2",
        "attention.q_c": "attn.add_q_proj",
        "attention.k_c": "attn.add_k_proj",
        "attention.v_c": "attn.add_v_proj",
        "attention.out_c": "attn.to_add_out",
        "attention.norm_q_c": "attn.norm_added_q",
        "attention.norm_k_c": "attn.norm_added_k",
        **{f"attention.{a}": f"attn.{b}" for a, b in SIDE.items()},
        **{f"second.{a}": f"attn2.{b}" for a, b in SIDE.items()},
    }.items()},
}  # fmt: skip
"""Likewise of an `MMDiT`, and of `SD3Transformer2DModel`."""


def to_diffusers(state: Mapping[str, Tensor], layers: Mapping[str, str] = LAYERS) -> dict[str, Tensor]:
    """The same tensors under diffusers' names. Raises ValueError for one that `UNet2DModel` has no place for."""
    return renamed(state, layers.items())


def from_diffusers(state: Mapping[str, Tensor], layers: Mapping[str, str] = LAYERS) -> dict[str, Tensor]:
    """The same tensors under our names: the inverse of `to_diffusers`. Raises ValueError for one we have no place for."""
    return renamed(state, ((theirs, ours) for ours, theirs in layers.items()))


def renamed(state: Mapping[str, Tensor], layers: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    table = [(re.compile(before.replace(".", r"\.").replace("#", r"(\d+)")), after) for before, after in layers]

    def name(key: str) -> str:
        layer, _, parameter = key.rpartition(".")
        for pattern, after in table:
            if match := pattern.fullmatch(layer):
                numbers = iter(match.groups())
                return re.sub("#", lambda _: next(numbers), after) + "." + parameter  # noqa: B023
        raise ValueError(f"{key} has no counterpart in the layout that UNet and UNet2DModel share")

    return {name(key): tensor for key, tensor in state.items()}


FIXED: dict[str, Any] = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "time_embedding_dim": None,
    "flip_sin_to_cos": True,
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "act_fn": "silu",
    "class_embed_type": None,
}
"""Settings of `UNet2DModel` that have one value in the shared layout, which is their default too."""


def diffusers_config(unet: UNet) -> dict[str, Any]:
    """The arguments of the `UNet2DModel` that takes `to_diffusers(unet.state_dict())`.

    Raises ValueError where there is none: not two axes, scalars or tokens, or norms or heads that it has no number for.
    """
    c, attends = unet.config, unet.attends
    heads = {width: head_count(width, c["head_size"]) for width in unet.attention_widths}
    sizes = {width // n for width, n in heads.items()}
    whole = len(sizes) > 1 and set(heads.values()) == {1}  # None is theirs for a head of all channels
    lacks = {
        f"spatial={unet.spatial}": unet.spatial != 2,
        "scalars": unet.scalars,
        "tokens": unet.tokens,
        f"maps={unet.maps}": unet.maps,
        f"patch={list(unet.patch)}": any(n > 1 for n in unet.patch),
        f"levels that are not multiples of groups={c['groups']}": any(width % c["groups"] for width in c["levels"]),
        f"heads of several sizes: {sorted(sizes)}": len(sizes) > 1 and not whole,
    }
    if any(lacks.values()):
        raise ValueError(f"UNet2DModel has no {', no '.join(what for what, asked in lacks.items() if asked)}")
    return FIXED | {
        "in_channels": unet.channels,
        "out_channels": unet.out_channels,
        "block_out_channels": c["levels"],
        "layers_per_block": c["blocks"],
        "down_block_types": ["AttnDownBlock2D" if here else "DownBlock2D" for here in attends],
        "up_block_types": ["AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)],
        "add_attention": any(attends),
        "attention_head_dim": None if whole else next(iter(sizes), c["head_size"]),
        "norm_num_groups": c["groups"],
        "attn_norm_num_groups": c["groups"],
        "dropout": c["dropout"],
        "norm_eps": c["eps"],
        "freq_shift": c["frequency_shift"],
        "downsample_padding": 1 if c["centred"] else 0,
        "resnet_time_scale_shift": "scale_shift" if c["adaptive"] else "default",
        "num_class_embeds": unet.classes + 1 if unet.classes else None,
    }


def unet_config(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the `UNet` that takes `from_diffusers` of a `UNet2DModel` with the configuration `theirs`.

    Its c_noise is their timestep (noise_scale 1), and their last class stands where ours is the null label.
    Raises ValueError for a setting that the shared layout lacks, and KeyError for one that a saved configuration always has.
    """
    groups, heads = theirs["norm_num_groups"], theirs["attention_head_dim"]
    ours = {
        "spatial": 2,
        "channels": theirs["in_channels"],
        "out_channels": theirs["out_channels"],
        "levels": list(theirs["block_out_channels"]),
        "blocks": theirs["layers_per_block"],
        "attention": [kind == "AttnDownBlock2D" for kind in theirs["down_block_types"]],
        "head_size": max(theirs["block_out_channels"]) if heads is None else heads,
        "groups": groups,
        "adaptive": theirs["resnet_time_scale_shift"] == "scale_shift",
        "classes": (theirs["num_class_embeds"] or 1) - 1,
        "dropout": theirs["dropout"],
        "noise_scale": 1.0,
        "eps": theirs.get("norm_eps", 1e-5),
        "frequency_shift": theirs.get("freq_shift", 0),
        "centred": theirs.get("downsample_padding", 1) != 0,
    }
    with torch.device("meta"):
        back = diffusers_config(UNet(**ours))
    implied = {
        "attn_norm_num_groups": groups if not ours["adaptive"] else None,
        "attention_head_dim": back["attention_head_dim"],
    }
    for key, value in back.items():
        given = theirs.get(key, value)
        given = implied.get(key, value) if given is None else given
        if (list(given) if isinstance(given, tuple) else given) != value:
            raise ValueError(f"our U-Net has no {key}={given!r}: it would be {value!r}")
    return ours
