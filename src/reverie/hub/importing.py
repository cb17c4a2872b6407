"""A folder of diffusers as a system of ours, and as a run folder."""

from pathlib import Path
from typing import Any

from .. import discover, files, hub
from ..errors import ReverieError, unknown
from ..systems.diffusion import Diffusion
from .base import Pipeline
from .folders import read_folder


def load_folder(path: Path | str) -> Any:
    """The system that a folder in diffusers' layout holds. Runs no code of it and reads nothing but safetensors and JSON.

    Raises ReverieError for a pipeline, a network, a scheduler or a setting that is not done here, by name.
    """
    folder = read_folder(Path(path))
    known = {name: cls for cls in discover.discover(hub, Pipeline).values() for name in cls.names}
    if folder.pipeline not in known:
        raise unknown("pipeline", folder.pipeline, known)
    return known[folder.pipeline]().system(folder)


def import_folder(path: Path | str, out: Path | str) -> Any:
    """Writes a run folder of what a folder of diffusers holds, and returns its system; `reverie.load` of the run edits too.

    Raises ReverieError as `load_folder` does, and where `out` holds something.
    """
    system, out = load_folder(path), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReverieError(f"{out} exists and is not empty: choose another --out")
    with files.staged(out) as stage:
        system.save(stage)
        files.write_text(stage / "README.md", card(system, out.absolute().name))
    return system


def card(system: Diffusion, name: str) -> str:
    shape, defaults = "x".join(map(str, system.raw_shape)), system.defaults
    return f"""# {name}

A diffusion model, samples of {shape}: {system.about["source"]}.

| | |
| --- | --- |
| licence | {system.about["licence"] or "not stated: ask whoever made it before sharing"} |
| network | {type(system.network).__name__}, {sum(p.numel() for p in system.network.parameters()):,} parameters |
| schedule, parameterization | {system.denoiser.schedule}, {system.denoiser.parameterization} |
| samples by default with | {defaults.sampler} on {defaults.grid} |

    reverie sample {name}
"""
