"""A run as a folder that diffusers reads."""

from pathlib import Path
from typing import Any

from .. import files
from ..codecs.pixels import Pixels
from ..conditioning.unconditional import Unconditional
from ..core.parameterizations import LogSNR
from ..core.schedules import Discrete
from ..errors import ReverieError
from ..nn.base import plain
from ..nn.unet import UNet
from ..systems.autoencoding import NOTHING, Autoencoding
from ..systems.diffusion import Diffusion
from .unets import SCALE, negates, table_of, write_unet

COUNT = 1000
"""Levels of a table made of a schedule that has none."""
LAYOUT = "0.30.0"
"""The version of diffusers whose layout this is; every later one reads it."""


def export_folder(system: Any, out: Path | str) -> Path:
    """Writes what `DDPMPipeline.from_pretrained` reads: the same network, told an index, and a scheduler of its levels.

    For pictures without conditions by a U-Net that predicts the velocity, or is `Karras(1)`, on a schedule that keeps the
    variance. Raises ReverieError, which names what stands in the way, and writes nothing.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReverieError(f"{out} exists and is not empty: choose another folder")
    if isinstance(system, Autoencoding):
        raise ReverieError(NOTHING)
    if type(system) is not Diffusion or not isinstance(system.conditioner, Unconditional):
        raise ReverieError("DDPMPipeline makes samples of nothing in particular: this model has conditions, and no pipeline "
                           "of diffusers takes them yet")  # fmt: skip
    if not isinstance(system.codec, Pixels) or not isinstance(system.network, UNet):
        raise ReverieError(f"DDPMPipeline makes pictures of 256 levels by a U-Net, not {type(system.codec).__name__} by "
                           f"{type(system.network).__name__}")  # fmt: skip
    denoiser, network = system.denoiser, system.network
    if denoiser.noise_input != LogSNR() or network.config["noise_scale"] != SCALE:
        raise ReverieError(f"this network is told {denoiser.noise_input} times {network.config['noise_scale']:g}, which is not "
                           "what this export writes: LogSNR, times 100")  # fmt: skip
    height, width = system.shape[1:]
    if height != width:
        raise ReverieError(f"DDPMPipeline makes square pictures, not {height}x{width}")
    schedule = denoiser.schedule
    count = len(schedule.log_snrs()) if isinstance(schedule, Discrete) else COUNT
    negated, betas = negates(denoiser.parameterization), table_of(schedule, count)
    config, tensors = write_unet(network, schedule, count, width, negated)
    scheduler = {
        "_class_name": "DDPMScheduler", "_diffusers_version": LAYOUT, "num_train_timesteps": count,
        "trained_betas": list(betas.betas), "prediction_type": "v_prediction", "variance_type": "fixed_small",
        "clip_sample": True, "clip_sample_range": 1.0, "timestep_spacing": "trailing",
    }  # fmt: skip
    with files.staged(out) as stage:
        files.write_json(stage / "model_index.json", {
            "_class_name": "DDPMPipeline", "_diffusers_version": LAYOUT, "scheduler": ["diffusers", "DDPMScheduler"],
            "unet": ["diffusers", "UNet2DModel"],
        })  # fmt: skip
        files.write_json(stage / "scheduler" / "scheduler_config.json", scheduler)
        files.write_json(stage / "unet" / "config.json", {"_class_name": "UNet2DModel", "_diffusers_version": LAYOUT,
                                                          **{key: plain(value) for key, value in config.items()}})  # fmt: skip
        files.save_tensors(stage / "unet" / "diffusion_pytorch_model.safetensors", tensors, {"format": "pt"})
        files.write_text(stage / "README.md", card(system))
    return out


def card(system: Diffusion) -> str:
    head = f"---\nlicense: {system.about['licence']}\n" if system.about.get("licence") else "---\n"
    return f"""{head}library_name: diffusers
tags: [unconditional-image-generation]
---
# Diffusion model of {system.about.get("name", "pictures")}

    from diffusers import DDPMPipeline
    DDPMPipeline.from_pretrained("this folder")(batch_size=4).images[0].save("sample.png")

Trained by Reverie: {system.denoiser.schedule}, {system.denoiser.parameterization}, {system.network.config}.
"""
