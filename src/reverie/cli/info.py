"""reverie info."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..core.schedules import Schedule
from ..discover import describe
from ..errors import ReverieError, printable
from ..systems.autoencoding import Autoencoding
from ..systems.records import Record, fingerprint
from ..systems.replaying import said_by, written
from ..training import checkpoints
from .sampling import opened


@click.command("info")
@click.argument("run", metavar="RUN|FILE")
@click.option("--weights", default="ema", show_default=True, help="ema or raw")
def command(run: str, weights: str) -> None:
    """Say what RUN is: data, network, noise, defaults, and how far it was trained; or what made FILE, a sample or a grid."""
    if Path(run).is_file():
        rows = of_file(Path(run))
    else:
        rows = of_run(run, weights)
    for key, value in rows.items():
        click.echo(f"{key:<17} {value}")


def of_run(run: str, weights: str) -> dict[str, str]:
    system = opened(run, weights, None)
    if isinstance(system, Autoencoding):
        return of_autoencoder(system)
    description, about = system.describe(), system.about
    denoiser = system.denoiser  # type: ignore[attr-defined]
    assert isinstance(denoiser.schedule, Schedule)
    shape = "x".join(map(str, system.raw_shape))  # type: ignore[attr-defined]
    if system.codec.raw_shape(system.shape) != system.shape:  # type: ignore[attr-defined]
        shape += f" by latents of {'x'.join(map(str, description['shape']))}"
    size = sum(p.numel() for p in system.network.parameters())
    defaults = description["defaults"]
    rows = {
        "data": f"{_plain(about.get('name'), 200)}, {about.get('count', 0):,} samples of {shape}",
        "licence": _plain(about.get("licence") or "not stated", 200),
        "conditions": _conditions(description["conditioner"]),
        "network": f"{description['backbone']['name']}, {size:,} parameters",
        "schedule": str(denoiser.schedule),
        "parameterization": repr(denoiser.parameterization),
        "codec": _call(description["codec"]),
        "sampler": f"{_call(defaults['sampler'])} on {_call(defaults['grid'])}, scale {defaults['scale']:g}, {defaults['dtype']}",
        "trained": f"{about['seen']:,} samples seen" if "seen" in about else "not said",
        "weights": f"{about.get('weights')}, sha256 {system.weights_hash[:16]}",
    }
    if (known := getattr(system, "gaussians", None)) is not None:
        count, _, axes = known.axes.shape
        rows["start"] = f"noise, or gaussian: {f'{count} of' if count > 1 else 'one of'} {axes} axes"
    if isinstance(start := about.get("from"), Mapping):
        rows["started from"] = _plain(
            f"{start.get('name')}, {start.get('weights')}, sha256 {str(start.get('sha256'))[:16]}", 200
        )
    if Path(run).is_dir() and (found := checkpoints.saved(Path(run) / "checkpoints")):
        rows["checkpoints"] = ", ".join(f"{int(path.name):,}" for path in found)
    return {key: printable(value) for key, value in rows.items()}


def of_autoencoder(system: Autoencoding) -> dict[str, str]:
    network, about = system.network, system.about
    size, shape = sum(p.numel() for p in network.parameters()), "x".join(map(str, system.shape))
    rows = {
        "data": f"{_plain(about.get('name'), 200)}, {about.get('count', 0):,} samples of {shape}",
        "licence": _plain(about.get("licence") or "not stated", 200),
        "autoencoder": f"{network.kind}, {size:,} parameters",
        "latent": f"{'x'.join(map(str, system.latent.shape(system.shape)))}, {system.bits:.3g} bits a pixel",
        "trained": f"{about['seen']:,} samples seen" if "seen" in about else "not said",
        "weights": f"{about.get('weights')}, sha256 {system.weights_hash[:16]}",
    }
    return {key: printable(value) for key, value in rows.items()}


def of_file(path: Path) -> dict[str, str]:
    """What made a sample, checked part by part; of grids and previews, what they say, made harmless."""
    data = said_by(path)
    if not isinstance(data, Mapping):
        raise ReverieError(f"what {path} says of itself is no record of ours")
    if data.get("made") != "sample":
        shown = [(key, value) for key, value in data.items() if key not in ("format", "description")]
        return {_plain(key, 17): _plain(_brief(value), 200) for key, value in shown[:40]}
    record = Record.read(data)
    sample, _ = written(path).decode(path)
    length = "" if record.length is None else f" of length {record.length:g}"
    asked = ", ".join(f"{key} {value}" for key, value in record.condition.items() if value is not None)
    label = str(record.condition.get("label"))
    named = f" ({_plain(data['class'], 60)})" if data.get("class", label) != label else ""
    plural = "" if record.threads == 1 else "s"
    grid, sampler = _call(describe(record.grid)), _call(describe(record.sampler))
    begun = ", from the Gaussians of the data" if record.gaussians else ""
    rows = {
        "model": f"{record.model}, weights {record.weights}{length}, sha256 {record.sha256[:16]}",
        "sample": f"{record.index} of seed {record.seed}, at place {record.place} of a batch of {record.size}",
        "condition": f"{asked}{named}" if asked else "none",
        "sampler": f"{sampler} on {grid}{begun}, scale {record.scale:g}, {record.dtype}",
        **({"guidance": ", around it ".join(map(str, record.guidance))} if record.guidance else {}),
        **({"guided away from": f"another model, sha256 {record.weak[:16]}"} if record.weak is not None else {}),
        "made with": f"reverie {record.versions['reverie']}, torch {record.versions['torch']}, {record.device}, "
                     f"{record.threads} thread{plural}",
        "pixels": "as they were made" if fingerprint(sample) == record.pixels else "changed since they were made",
    }  # fmt: skip
    return {key: _plain(value, 400) for key, value in rows.items()}


def _brief(value: Any) -> Any:
    """Plain data of anybody's as a person would say them."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} {_brief(one)}" for key, one in value.items() if key != "name")
        return f"{value['name']}, {inside}".rstrip(", ") if "name" in value else inside
    return f"{len(value)}" if isinstance(value, list) else value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any, most: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return printable(text if len(text) <= most else f"{text[:most]}...")


def _call(value: dict) -> str:
    return f"{value['name']}({', '.join(f'{k}={v!r}' for k, v in value.items() if k != 'name')})"


def _conditions(value: dict) -> str:
    if value["name"] == "Augmented":
        return f"{_conditions(value['conditioner'])}; trained on samples that were changed, and told how"
    if "classes" in value:
        names = list(value["classes"])
        listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        guided = "can be guided" if value.get("dropout") else "cannot be guided"
        return f"label, one of {len(names)}: {listed}; {guided}"
    if "encoders" in value:
        names = [f"{one['folder']} ({one['network']}, {one['length']} tokens)" for one in value["encoders"]]
        return f"prompt, read by {' and '.join(names)}"
    return "none" if value["name"] == "Unconditional" else _call(value)
