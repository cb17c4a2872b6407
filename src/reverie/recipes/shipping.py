"""Making a run small enough to ship: what loading and sampling need, in half precision."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import files
from ..codecs.latent import FOLDER, Latent, identity
from ..discover import describe
from ..errors import ReverieError
from ..files import fill
from ..nn.autoencoder import Autoencoder
from ..reading import read_object
from ..systems.base import load
from ..systems.diffusion import GAUSSIANS


def ship(run: Path, out: Path) -> Path:
    """Writes model.json, recipe.json, the card and the averaged weights in float16 to `out`, and returns it; of a run that
    learned in latents its autoencoder too, rounded likewise, and named by what it is now.

    Raises ReverieError where the weights do not fit in float16, or `out` exists.
    """
    if out.exists():
        raise ReverieError(f"{out} exists: choose another folder")
    system: Any = load(run)
    model = read_object(run / "model.json")
    codec = getattr(system, "codec", None)
    with files.staged(out) as stage:
        files.save_tensors(stage / "weights" / "ema.safetensors", halves(system.network))
        if isinstance(codec, Latent):
            made = Autoencoder(**codec.network.config)
            files.save_tensors(stage / FOLDER / "model.safetensors", halves(codec.network))
            files.write_json(stage / FOLDER / "config.json", made.config)
            fill(made, files.load_tensors(stage / FOLDER / "model.safetensors"), "what was shipped")
            model["codec"] = describe(replace(codec, sha256=identity(made)))
        if getattr(system, "gaussians", None) is not None:
            files.save_tensors(stage / GAUSSIANS, system.gaussians.tensors())
        files.write_json(stage / "model.json", model)
        for name in ("recipe.json", "README.md"):
            files.write_bytes(stage / name, (run / name).read_bytes())
        for grid in sorted((run / "samples").glob("*-ema.png"))[-1:]:  # the card shows it
            files.write_bytes(stage / "samples" / grid.name, grid.read_bytes())
        fill(system.network, files.load_tensors(stage / "weights" / "ema.safetensors"), "what was shipped")
    return out


def halves(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in network.state_dict().items()}
