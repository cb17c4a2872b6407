"""The model card of a run."""

from typing import TYPE_CHECKING

from ..systems.diffusion import Diffusion

if TYPE_CHECKING:
    from .generation import Generation


def card(system: Diffusion, name: str, recipe: "Generation") -> str:
    """Markdown with data, licence, recipe and the commands; no path and no time of day."""
    about, shape = system.about, "x".join(map(str, system.shape))
    keys = ", ".join(system.conditioner.keys) or "nothing"
    return f"""# {name}

A diffusion model of {about["name"]}, samples of {shape}, made by Reverie.

| | |
| --- | --- |
| data | {about["name"]}, {about["count"]:,} samples; {about["source"] or "no source stated"} |
| licence of the data | {about["licence"] or "not stated: ask whoever made them before sharing"} |
| conditions | {keys} |
| trained on | {about["seen"]:,} samples of {recipe.samples:,}, in batches of {recipe.batch}, {recipe.dtype} |
| network | {type(system.network).__name__}, {sum(p.numel() for p in system.network.parameters()):,} parameters |
| schedule, parameterization | {system.denoiser.schedule}, {system.denoiser.parameterization} |
| seed | {recipe.seed} |

    reverie sample {name}
    reverie evaluate {name}

`recipe.json` holds every option that made it.
"""
