"""The names that layers of Stable Diffusion had in its original code, beside those that diffusers gives them."""

import re

from ..nn.spatial import SpatialUNet

RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "class_embedding": "label_emb",
}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
INSIDE = re.compile(
    r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


def layer_of(layer: str, network: SpatialUNet) -> str:
    """A layer of `UNet2DConditionModel` as the original U-Net calls it: blocks are counted through all levels."""
    if layer in ENDS:
        return ENDS[layer]
    match = INSIDE.fullmatch(layer)
    if match is None:
        raise ValueError(f"{layer} is no layer of that U-Net")
    side, level, kind, place, rest = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
    each = network.config["blocks"] + 1
    rest = RESIDUAL.get(rest, rest) if kind == "resnets" else rest
    if side == "mid_block":
        return f"middle_block.{MIDDLE[f'{kind}.{place}']}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{(level + 1) * each}.0.op"
    if kind == "upsamplers":
        attends = network.config["depths"][::-1][level] > 0
        return f"output_blocks.{level * each + each - 1}.{2 if attends else 1}.conv"
    block, inside = (
        (level * each + place, "output_blocks") if side == "up_blocks" else (level * each + place + 1, "input_blocks")
    )
    return f"{inside}.{block}.{0 if kind == 'resnets' else 1}.{rest}"
