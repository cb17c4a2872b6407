"""Stable Diffusion of versions 1, 2 and XL in one file of safetensors, in the layout of its original code.

Such a file has weights alone. Settings, scheduler and tokenizers are those of a folder in diffusers' layout of the same version.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import files
from ..errors import ReverieError, printable, some
from ..files import load_tensors, save_tensors
from ..nn.autoencoder import Autoencoder
from ..nn.layouts import CODERS, SPATIAL, to_diffusers
from ..nn.spatial import SpatialUNet
from ..reading import read_object
from .autoencoders import coder_config
from .folders import Folder, read_folder
from .importing import import_folder
from .networks import sketched
from .original import coder_layer_of, from_open_clip, layer_of
from .spatial_unets import spatial_config

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXTS = {
    "text_encoder": (
        "cond_stage_model.transformer.",
        "conditioner.embedders.0.transformer.",
        "cond_stage_model.model.",
    ),
    "text_encoder_2": ("conditioner.embedders.1.model.",),
}
"""Where the original code has its text networks; of those that end in .model. the names are OpenCLIP's."""
LEFT_OUT = ("model_ema.", "first_stage_model.loss.", "cond_stage_model.logit_scale", "denoiser.")
TABLES = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod", "logvar",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "scale_factor", "lvlb_weights",
)  # fmt: skip
"""What follows from the schedule, which the folder says."""
SETTINGS = ("*.json", "*.txt", "*.model")


def import_file(path: Path | str, like: Path | str, out: Path | str) -> Any:
    """Writes a run folder of a checkpoint in one file, `like` a folder of its version, whose weights are not read.

    Raises ReverieError for a tensor that is of no part of that version, as `import_folder` does for all else.
    """
    path, like = Path(path), Path(like)
    if path.suffix != ".safetensors":
        raise ReverieError(f"{path} is no safetensors file: others can run code when they are opened, and are not")
    with tempfile.TemporaryDirectory() as place:
        unfolded(path, read_folder(like), Path(place) / path.stem)
        return import_folder(Path(place) / path.stem, out)


def unfolded(path: Path, like: Folder, out: Path) -> None:
    """Writes a folder in diffusers' layout: settings as `like` has them, weights of the file."""
    if "unet" not in like.parts or "vae" not in like.parts:
        raise ReverieError(f"{like.path} is a {like.pipeline}, which has no unet and vae as such files do")
    tensors = load_tensors(path)
    for name in [name for name in tensors if name in TABLES or name.startswith(LEFT_OUT)]:
        del tensors[name]
    config, *_ = coder_config(like.parts["vae"])
    names = coder_names(config)
    weights = {
        "vae": taken(tensors, names, VAE, path),
        "unet": taken(tensors, unet_names(like, config["latent"]), UNET, path),
    }
    for part in TEXTS:
        if part in like.parts:
            weights[part] = text(tensors, part, like, path)
    if tensors:
        raise ReverieError(
            f"{path} holds what no part of {like.pipeline} has: {some([printable(one[:100]) for one in tensors])}"
        )
    for part in like.parts:
        (out / part).mkdir(parents=True)
        for pattern in SETTINGS:
            for file in (like.path / part).glob(pattern):
                if not file.name.endswith(".index.json"):
                    shutil.copyfile(file, out / part / file.name)
    index = read_object(like.path / "model_index.json")
    files.write_json(
        out / "model_index.json", {k: v for k, v in index.items() if k not in like.parts or k in wanted(like)}
    )
    for part, found in weights.items():
        stem = "model" if part in TEXTS else "diffusion_pytorch_model"
        save_tensors(out / part / f"{stem}.safetensors", found, {"format": "pt"})


def wanted(like: Folder) -> set[str]:
    """The parts that are read: not those that judge pictures, of which such a file has none."""
    return set(like.parts) - {"safety_checker", "feature_extractor", "image_encoder"}


def unet_names(like: Folder, channels: int) -> dict[str, str]:
    """The original name of every tensor that diffusers names."""
    config = spatial_config(like.parts["unet"], channels)
    network = sketched(lambda: SpatialUNet(**config), "unet")
    return originals(to_diffusers(network.state_dict(), SPATIAL), lambda layer: layer_of(layer, network))


def coder_names(config: Mapping[str, Any]) -> dict[str, str]:
    network, levels = sketched(lambda: Autoencoder(**config), "vae"), len(config["levels"])
    return originals(to_diffusers(network.state_dict(), CODERS), lambda layer: coder_layer_of(layer, levels))


def originals(names: Iterable[str], of: Callable[[str], str]) -> dict[str, str]:
    """Names of tensors there, by those here, of what a layer is called."""
    split = {name: name.rpartition(".") for name in names}
    return {name: f"{of(layer)}.{parameter}" for name, (layer, _, parameter) in split.items()}


def taken(tensors: dict[str, Tensor], names: Mapping[str, str], prefix: str, path: Path) -> dict[str, Tensor]:
    """The tensors of one part, out of all that are left. Raises ReverieError where some are missing."""
    lacking = [prefix + theirs for theirs in names.values() if prefix + theirs not in tensors]
    if lacking:
        raise ReverieError(
            f"{path} is not of the version that --like is: it lacks {some([printable(one[:100]) for one in lacking])}"
        )
    return {ours: tensors.pop(prefix + theirs) for ours, theirs in names.items()}


def text(tensors: dict[str, Tensor], part: str, like: Folder, path: Path) -> dict[str, Tensor]:
    """The tensors of a text network as transformers names them. Raises ReverieError where there are none, or strange ones."""
    prefix = next((one for one in TEXTS[part] if any(name.startswith(one) for name in tensors)), None)
    if prefix is None:
        raise ReverieError(f"{path} holds no {part}, which {like.pipeline} needs")
    own = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
    own.pop("text_model.embeddings.position_ids", None)
    if not prefix.endswith(".model."):
        return own
    config = read_object(like.path / part / "config.json", endless=True)
    layers = config.get("num_hidden_layers", 12)
    if type(layers) is not int:
        raise ReverieError(f"{like.path / part} says num_hidden_layers={printable(str(layers)[:40])}")
    projects = like.parts[part].kind.endswith("WithProjection")
    found, strange = from_open_clip(own, layers, projects)
    if strange:
        raise ReverieError(
            f"{path} holds what no text network of OpenCLIP has: {some([printable(one[:100]) for one in strange])}"
        )
    return found
