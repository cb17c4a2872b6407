"""The options that choose how samples are made, shared by the commands that make some."""

import ast
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from .. import discover, samplers
from ..core import grids
from ..core.grids import Grid
from ..errors import ReverieError
from ..samplers.base import Sampler
from ..systems.base import System, load
from ..systems.diffusion import STARTS, Diffusion
from ..systems.guiding import planned

OPTIONS: list[Callable[..., Any]] = [
    click.argument("run"),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="of the noise; sample i of a seed is always the same"
    ),
    click.option("--sampler", help="such as heun or 'ddim(eta=1.0)'; `reverie samplers` lists them"),
    click.option("--sample-steps", type=int, help="steps of the sampler"),
    click.option("--grid", help="where the steps are: karras, uniform, logsnr, ..., or 'karras(sigma_min=0.01)'"),
    click.option("--scale", type=float, help="of guidance; 1 is none"),
    click.option(
        "--guidance",
        multiple=True,
        help="such as 'apg(scale=3)'; another goes around the one before; `reverie guidance` lists them",
    ),
    click.option("--weak", help="a worse RUN of the same data, to guide away from in place of no condition"),
    click.option(
        "--reuse",
        type=int,
        default=1,
        show_default=True,
        help="K: compute the inside of the network at every K-th evaluation alone; faster, and near the same",
    ),
    click.option(
        "--compile",
        "compiled",
        type=click.Choice(["on", "off"]),
        default="off",
        show_default=True,
        help="kernels compiled for this machine, which takes half a minute once: faster for many samples",
    ),
    click.option("--dtype", help="float32 or bfloat16"),
    click.option("--batch", type=int, default=64, show_default=True, help="samples at a time"),
    click.option(
        "--adapter",
        multiple=True,
        help="FILE or FILE:SCALE: low-rank changes that are added to the weights; may be repeated",
    ),
    click.option("--weights", default="ema", show_default=True, help="ema or raw"),
    click.option(
        "--average", type=float, help="length of an average of the weights to reconstruct, as a share of training"
    ),
]


START = click.option(
    "--start",
    type=click.Choice(STARTS),
    default="noise",
    show_default=True,
    help="gaussian: take the first part of the way by the Gaussians of the training data, so that few steps do",
)


def sampling_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def opened(run: str, weights: str, average: float | None, adapters: Sequence[str] = ()) -> System:
    """The system, with adapters added to its weights; says which of a folder and a shipped model of one name it is."""
    from ..systems.base import shipped

    if Path(run).is_dir() and "/" not in run:
        try:
            shipped(run)
        except ReverieError:
            pass
        else:
            click.echo(f"{run} is a folder here, and is used; the shipped model of that name is not", err=True)
    system = load(run, weights, average)
    return adapted(system, [scaled(one) for one in adapters]) if adapters else system


def scaled(text: str) -> tuple[str, float]:
    """FILE:SCALE, or a file alone, which counts once. Raises ReverieError."""
    place, _, scale = text.rpartition(":")
    if not place or Path(text).is_file():
        return text, 1.0
    try:
        return place, float(scale)
    except ValueError:
        raise ReverieError(f"an adapter is FILE or FILE:SCALE such as style.safetensors:0.8, not {text!r}") from None


def adapted(system: System, files: Sequence[tuple[str, float]]) -> System:
    """The system with the adapters in files added to its weights, each times its scale."""
    from ..hub.adapters import apply, read_adapter

    if not isinstance(system, Diffusion):
        raise ReverieError(f"adapters are of diffusion models, and this is a {type(system).__name__}")
    apply(system, [(read_adapter(place, system), scale) for place, scale in files])
    return system


def name_of(run: str) -> str:
    """What outputs call the model: the run folder's own name, without where it lies."""
    return Path(run).resolve().name if Path(run).is_dir() else run


def chosen(options: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `generate` that these options stand for."""
    sampler, grid = options.pop("sampler"), options.pop("grid")
    for key in ("run", "weights", "average", "adapter"):
        options.pop(key, None)
    return options | {
        "sampler": discover.parse("sampler", samplers, Sampler, sampler) if sampler else None,
        "grid": discover.parse("grid", grids, Grid, grid) if grid else None,
        "guidance": planned(options.get("guidance", ())),
        "compiled": options["compiled"] == "on",
        "weak": load(options["weak"]) if options.get("weak") else None,
    }


def condition(labels: tuple[str, ...]) -> Any:
    """What `generate` takes as the condition: every class in turn where no label was given."""
    if not labels:
        return ...
    return [None if label.lower() == "none" else _mapping(label) for label in labels]


def _mapping(label: str) -> Any:
    """A label, or {'name': value, ...} for several conditions at once."""
    if not label.startswith("{"):
        return label
    try:
        return ast.literal_eval(label)
    except (SyntaxError, ValueError):
        raise ReverieError(f"cannot read the condition {label!r}: write {{'name': value}}") from None


def bar(total_hint: str) -> Any:
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(TextColumn(total_hint), BarColumn(), TimeRemainingColumn(), transient=True,
                    disable=not sys.stderr.isatty())  # fmt: skip
