"""`UNet2DConditionModel` as ours."""

from typing import Any

from ..nn.layouts import SPATIAL
from ..nn.spatial import SpatialUNet
from .folders import Part
from .networks import filled, sizes
from .settings import Settings

FIXED: dict[str, Any] = {
    "center_input_sample": False, "flip_sin_to_cos": True, "freq_shift": 0, "mid_block_type": "UNetMidBlock2DCrossAttn",
    "downsample_padding": 1, "mid_block_scale_factor": 1, "act_fn": "silu",
    "reverse_transformer_layers_per_block": None, "encoder_hid_dim": None, "encoder_hid_dim_type": None,
    "num_attention_heads": None, "dual_cross_attention": False, "class_embed_type": None,
    "resnet_time_scale_shift": "default", "resnet_skip_time_act": False, "resnet_out_scale_factor": 1.0,
    "time_embedding_type": "positional", "time_embedding_dim": None, "time_embedding_act_fn": None,
    "timestep_post_act": None, "time_cond_proj_dim": None, "conv_in_kernel": 3, "conv_out_kernel": 3,
    "attention_type": "default", "class_embeddings_concat": False, "mid_block_only_cross_attention": None,
    "cross_attention_norm": None, "addition_embed_type_num_heads": 64,
}  # fmt: skip
"""Settings that have one value in the layout of Stable Diffusion 1, 2 and XL."""


def read_spatial_unet(part: Part, channels: int) -> SpatialUNet:
    """The network of latents of `channels`; further ones that it takes are maps. Raises ReverieError."""
    config = spatial_config(part, channels)
    return filled(lambda: SpatialUNet(**config), part, SPATIAL, f"{part.kind} of {part.folder.parent.name}")


def spatial_config(part: Part, channels: int) -> dict[str, Any]:
    """The options of the network. Raises ReverieError for a setting that is not done here."""
    what = f"{part.kind} of {part.folder.parent.name}"
    told = Settings(part.config, what)
    inner, outer = told.take("in_channels", 4), told.take("out_channels", 4)
    if outer != channels or inner < channels:
        raise told.refused("in_channels", inner, f"and out_channels={outer}, where latents have {channels}")
    levels = list(told.take("block_out_channels", [320, 640, 1280, 1280], (list, tuple)))
    count = len(levels)
    usual = ["CrossAttnDownBlock2D"] * (count - 1) + ["DownBlock2D"]
    kinds = list(told.take("down_block_types", usual, (list, tuple)))
    if len(kinds) != count or not set(kinds) <= {"CrossAttnDownBlock2D", "DownBlock2D"}:
        raise told.refused("down_block_types", kinds, "which are not those that are done here")
    up = [kind.replace("Down", "Up") for kind in reversed(kinds)]
    told.must_be("up_block_types", up, tuple(up), why="which do not mirror down_block_types")
    depth = sizes(
        told.take("transformer_layers_per_block", 1, (int, list, tuple)), count, f"{what}: transformer_layers_per_block"
    )
    heads = sizes(told.take("attention_head_dim", 8, (int, list, tuple)), count, f"{what}: attention_head_dim")
    blocks = told.take("layers_per_block", 2)
    tokens = told.take("cross_attention_dim", 1280)
    dropout, eps, groups = told.take("dropout", 0.0), told.take("norm_eps", 1e-5), told.take("norm_num_groups", 32)
    for name in ("use_linear_projection", "upcast_attention"):  # a shape alone, and a precision that ours has
        told.take(name, False)
    told.take("sample_size", None, (int, list, tuple))
    classes = told.take("num_class_embeds", None, int)
    scalars, each = (
        told.take("projection_class_embeddings_input_dim", None, int),
        told.take("addition_time_embed_dim", None, int),
    )
    only = told.take("only_cross_attention", False, (bool, list, tuple))
    if only is True:
        raise told.refused("only_cross_attention", True, "which would be of the middle too: a list of levels is done")
    unseen = [False] * count if only is False else list(only)
    if len(unseen) != count or not all(isinstance(one, bool) for one in unseen):
        raise told.refused("only_cross_attention", only, f"which says no true or false of each of {count} levels")
    added = told.one_of("addition_embed_type", None, (None, "text_time"))
    if (added is None) != (scalars is None) or (added is None) != (each is None):
        raise told.refused("addition_embed_type", added, f"beside projection_class_embeddings_input_dim={scalars}")
    for name, value in FIXED.items():
        told.must_be(name, value, *([float(value)] if type(value) is int else [int(value)] if type(value) is float else []),
                     why=f"where {value} is what is done here")  # fmt: skip
    told.done()
    return {
        "channels": channels, "maps": inner - channels, "levels": levels, "blocks": blocks, "groups": groups,
        "depths": [n if kind.startswith("Cross") else 0 for n, kind in zip(depth, kinds)], "middle": depth[-1],
        "heads": heads, "classes": (classes or 1) - 1, "scalars": scalars or 0, "tokens": tokens, "dropout": dropout, "eps": eps,
        "unseen": unseen if any(unseen) else [],
    }  # fmt: skip
