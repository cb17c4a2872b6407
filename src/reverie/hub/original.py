"""The names that layers of Stable Diffusion had in its original code, beside those that diffusers gives them."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

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


CODER = re.compile(
    r"(encoder|decoder)\.(?:(down|up)_blocks\.(\d+)|mid_block)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def coder_layer_of(layer: str, levels: int) -> str:
    """A layer of `AutoencoderKL` of so many levels as the original code calls it, which counts the decoder's upwards."""
    layer = layer.replace("conv_norm_out", "norm_out")
    match = CODER.fullmatch(layer)
    if match is None:
        return layer
    side, way, level, kind, place, rest = match.groups()
    if kind == "attentions":
        return f"{side}.mid.attn_1.{ATTENTION[rest]}"
    rest = "nin_shortcut" if rest == "conv_shortcut" else rest
    if way is None:
        return f"{side}.mid.block_{int(place) + 1}.{rest}"
    number = levels - 1 - int(level) if way == "up" else int(level)
    if kind == "resnets":
        return f"{side}.{way}.{number}.block.{place}.{rest}"
    return f"{side}.{way}.{number}.{way}sample.{rest}"


OPEN = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
OPEN_ENDS = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
FUSED = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")


def from_open_clip(tensors: Mapping[str, Tensor], layers: int, projects: bool) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of a text network of OpenCLIP under the names of transformers' CLIP, and the names that are none of it.

    Blocks beyond `layers` are left out: Stable Diffusion 2 stops before the last. So is the projection, unless it `projects`.
    """
    found: dict[str, Tensor] = {}
    strange = []
    for name, tensor in tensors.items():
        block, fused = BLOCK.fullmatch(name), FUSED.fullmatch(name)
        if name in ("logit_scale", "attn_mask"):
            continue
        if name in OPEN_ENDS:
            found[OPEN_ENDS[name]] = tensor
        elif name == "text_projection":
            found |= {"text_projection.weight": tensor.T.contiguous()} if projects else {}
        elif fused:
            for part, one in zip("qkv", tensor.chunk(3)):
                if int(fused[1]) < layers:
                    found[f"text_model.encoder.layers.{fused[1]}.self_attn.{part}_proj.{fused[2]}"] = one.contiguous()
        elif block and block[2] in OPEN:
            if int(block[1]) < layers:
                found[f"text_model.encoder.layers.{block[1]}.{OPEN[block[2]]}.{block[3]}"] = tensor
        else:
            strange.append(name)
    return found, strange


def to_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_open_clip`, where nothing was left out."""
    ends, inside, found = {theirs: ours for ours, theirs in OPEN_ENDS.items()}, {b: a for a, b in OPEN.items()}, {}
    for name, tensor in tensors.items():
        match = re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if name in ends:
            found[ends[name]] = tensor
        elif name == "text_projection.weight":
            found["text_projection"] = tensor.T.contiguous()
        elif match and match[2] in inside:
            found[f"transformer.resblocks.{match[1]}.{inside[match[2]]}.{match[3]}"] = tensor
        elif match and match[2] == "self_attn.q_proj":
            three = [tensors[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            found[f"transformer.resblocks.{match[1]}.attn.in_proj_{match[3]}"] = torch.cat(three)
    return found
