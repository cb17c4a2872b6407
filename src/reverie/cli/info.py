"""reverie info."""

from pathlib import Path

import click

from ..core.schedules import Schedule
from ..training import checkpoints
from .sampling import opened


@click.command("info")
@click.argument("run")
@click.option("--weights", default="ema", show_default=True, help="ema or raw")
def command(run: str, weights: str) -> None:
    """Say what RUN is: data, network, noise, defaults, and how far it was trained."""
    system = opened(run, weights, None)
    description, about = system.describe(), system.about
    denoiser = system.denoiser  # type: ignore[attr-defined]
    assert isinstance(denoiser.schedule, Schedule)
    shape = "x".join(map(str, description["shape"]))
    size = sum(p.numel() for p in system.network.parameters())
    defaults = description["defaults"]
    rows = {
        "data": f"{about.get('name')}, {about.get('count', 0):,} samples of {shape}",
        "licence": about.get("licence") or "not stated",
        "conditions": _conditions(description["conditioner"]),
        "network": f"{description['backbone']['name']}, {size:,} parameters",
        "schedule": repr(denoiser.schedule),
        "parameterization": repr(denoiser.parameterization),
        "codec": _call(description["codec"]),
        "sampler": f"{_call(defaults['sampler'])} on {_call(defaults['grid'])}, scale {defaults['scale']:g}, {defaults['dtype']}",
        "trained": f"{about['seen']:,} samples seen" if "seen" in about else "not said",
        "weights": f"{about.get('weights')}, sha256 {system.weights_hash[:16]}",
    }
    if Path(run).is_dir() and (found := checkpoints.saved(Path(run) / "checkpoints")):
        rows["checkpoints"] = ", ".join(f"{int(path.name):,}" for path in found)
    for key, value in rows.items():
        click.echo(f"{key:<17} {value}")


def _call(value: dict) -> str:
    return f"{value['name']}({', '.join(f'{k}={v!r}' for k, v in value.items() if k != 'name')})"


def _conditions(value: dict) -> str:
    if "classes" in value:
        names = list(value["classes"])
        listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        guided = "can be guided" if value.get("dropout") else "cannot be guided"
        return f"label, one of {len(names)}: {listed}; {guided}"
    return "none" if value["name"] == "Unconditional" else _call(value)
