"""The model card of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import __version__, files
from ..reading import read_bytes
from ..systems.diffusion import Diffusion

if TYPE_CHECKING:
    from .learning import Training

LONGEST = 2**20
"""Bytes of a card."""
BEGIN, END = "<!-- figures: written by `reverie evaluate` -->", "<!-- end of figures -->"


def card(system: Diffusion, folder: Path, recipe: "Training") -> str:
    """Markdown with data, licence, recipe, defaults, the newest grid and the commands; no path of this machine, no user
    and no time of day.
    """
    about, shape, name = system.about, "x".join(map(str, system.raw_shape)), folder.absolute().name
    started, changed = start(about.get("from")), f", augmented at {recipe.augment:g}" if recipe.augment else ""
    defaults = system.defaults
    grids = sorted(path.name for path in (folder / "samples").glob("*-ema.png"))
    shown = f"\n![Samples of the averaged weights](samples/{grids[-1]})\n" if grids else ""
    return f"""# {name}

A diffusion model of {about["name"]}, samples of {shape}, made by Reverie.
{shown}
| | |
| --- | --- |
| data | {about["name"]}, {about["count"]:,} samples; {about["source"] or "no source stated"} |
| licence of the data | {about["licence"] or "not stated: ask whoever made them before sharing"} |
| conditions | {", ".join(system.conditioner.keys) or "nothing"} |
{started}| trained on | {about["seen"]:,} samples of {recipe.samples:,}, in batches of {recipe.batch}, {recipe.dtype}{changed} |
| network | {type(system.network).__name__}, {sum(p.numel() for p in system.network.parameters()):,} parameters |
| schedule, parameterization | {system.denoiser.schedule}, {system.denoiser.parameterization} |
| samples by default with | {defaults.sampler} on {defaults.grid}, scale {defaults.scale:g}, {defaults.dtype} |
| seed | {recipe.seed} |
| versions | reverie {__version__}, torch {torch.__version__} |

    reverie sample {name}
    reverie evaluate {name}

`recipe.json` holds every option that made it.

## Figures

{BEGIN}
Not measured yet.
{END}
"""


def start(told: Mapping[str, Any] | None) -> str:
    """The row of a run that started from the weights of another."""
    if not told:
        return ""
    licence = f", {told['licence']}" if told["licence"] else ""
    return (f"| starts from | {told['name']}, weights {told['weights']} of sha256 {told['sha256'][:16]}, which learned from "
            f"{told['data'] or 'data not stated'}{licence} |\n")  # fmt: skip


def tell(folder: Path, result: Mapping[str, Any]) -> None:
    """Puts a result of `reverie evaluate`, as plain data, in its place in the card of a run, where the card has one."""
    path = folder / "README.md"
    text = read_bytes(path, LONGEST).decode(errors="replace") if path.is_file() else ""
    if text.count(BEGIN) == text.count(END) == 1 and text.index(BEGIN) < text.index(END):
        kept, rest = text.split(BEGIN)[0], text.split(END)[1]
        files.write_text(path, kept + "\n".join([BEGIN, *figures(result), END]) + rest)


def figures(result: Mapping[str, Any]) -> list[str]:
    made, rungs = result["made_by"], result["ladder"]
    counts = ", ".join(f"{n:,} {what}" for what, n in result["counts"].items())
    eyes = f"; features of {result['extractor']['name']}" if result["extractor"] else ""
    weights = made["weights"]
    guided = "".join(f"{one['name']}, " for one in made.get("guidance", []))
    sampled = f"{made['sampler']['name']} with {made['grid']['steps']} steps, " if "sampler" in made else ""
    lines = [
        f"{counts}{eyes}. {sampled}{guided}scale {made['scale']:g}, {made['dtype']}, seed {made['seed']}, weights "
        f"{weights['name']} {weights['sha256'][:16]}.",
        "",
        "| | samples | " + "".join(f"{rung} | " for rung in rungs) + "better |",
        "| --- | --- | " + "--- | " * len(rungs) + "--- |",
    ]
    for name, figure in result["figures"].items():
        error = f" ± {figure['error']:.2g}" if figure["error"] else ""
        beside = "".join(f"{rung[name]:.4g} | " if name in rung else "| " for rung in rungs.values())
        lines.append(f"| {name} | {figure['value']:.4g}{error} | {beside}{figure['better']} |")
    return lines + [f"\nWarning: {warning}" for warning in result["warnings"]]
