"""What made a sample, as plain data: enough to make it again, and nothing of this machine's user, paths or clock."""

import hashlib
import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import dropwhile
from typing import Any

import torch
from torch import Tensor

from .. import __version__, samplers
from ..conditioning.text import unpacked
from ..core import grids
from ..core.grids import Grid
from ..discover import Plan, construct
from ..errors import ReverieError
from ..guidance.base import Guidance
from ..nn.base import plain
from ..samplers.base import Sampler
from .autoencoding import Autoencoding
from .base import WEIGHTS, Samples, System
from .bounds import modest
from .described import DTYPES
from .diffusion import Diffusion
from .guiding import planned

FORMAT = 1
KEY = "reverie"
"""Of the text chunk of a PNG."""
BESIDE = "samples.json"
"""The records of all samples in a folder: formats without a place for text have theirs here alone."""
MOST_ROWS = 2**21
"""Steps times samples of a batch that are done for a record of unknown origin."""


def surroundings(device: torch.device) -> dict[str, Any]:
    """What else than the options can change the rounding of a sample."""
    return {
        "versions": {"reverie": __version__, "torch": torch.__version__},
        "device": kind_of(device),
        "threads": torch.get_num_threads(),
    }


def kind_of(device: torch.device) -> str:
    """The kind of processor: `cpu AVX512 bf16`, or the name that an accelerator's maker gives it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    fast = " bf16" if torch.cpu._is_avx512_bf16_supported() else ""
    return f"cpu {torch.backends.cpu.get_cpu_capability()}{fast}"


def made_by(
    system: Diffusion | Autoencoding, model: str, info: Mapping[str, Any], made: str = "sample"
) -> dict[str, Any]:
    """What samples of one command have in common; `info` is that of `Samples`, `made` says what the file is."""
    weights: dict[str, Any] = {"name": system.about.get("weights", ""), "sha256": system.weights_hash}
    if system.average is not None:
        weights = {"name": "average", "length": system.average, "sha256": system.weights_hash}
    added = [{"sha256": one, "scale": scale} for one, scale in system.adapters]
    return {"format": FORMAT, "made": made, "model": model, "description": description(system), "weights": weights,
            **({"adapters": added} if added else {}), **surroundings(system.device), **info}  # fmt: skip


def records(system: Diffusion, model: str, part: Samples) -> list[dict[str, Any]]:
    """A record for each sample of one batch, as `Record.read` reads it."""
    common, classes = made_by(system, model, part.info), getattr(system.conditioner, "classes", ())
    found = []
    for place, index in enumerate(part.index):
        condition = asked(system, part.values, place)
        label = condition.get("label")
        named = {"class": classes[label]} if classes and label is not None else {}
        found.append({**common, "index": index, "batch": {"size": len(part), "place": place}, "condition": condition,
                      **named, "pixels": fingerprint(system.modality.stored(part.raw[place]))})  # fmt: skip
    return found


def asked(system: Diffusion, values: Mapping[str, Tensor], row: int) -> dict[str, Any]:
    """The condition of one row by the conditioner's words, so that its `parse` gives the same values again."""
    found: dict[str, Any] = {}
    if "label" in values:
        label = int(values["label"][row])
        found["label"] = label if label >= 0 else None
    if "scalars" in values:
        names = [key for key in system.conditioner.keys if key not in ("label", "prompt")]
        numbers = values["scalars"][row].tolist()
        found |= {name: None if math.isnan(v) else v for name, v in zip(names, numbers, strict=True)}
    if "prompt" in values:
        (found["prompt"],) = unpacked(values["prompt"][row : row + 1])
    return found


def description(system: System) -> str:
    """sha256 of the part of model.json that samples depend on: all but what is told about it and the defaults.

    Options of the network that have their default are left out: one that is added later makes no model another.
    """
    parts = {key: value for key, value in system.describe().items() if key not in ("about", "defaults")}
    usual = {key: plain(p.default) for key, p in inspect.signature(type(system.network)).parameters.items()}
    network = "backbone" if "backbone" in parts else "autoencoder"
    parts[network] = {key: value for key, value in parts[network].items() if value != usual.get(key, ...)}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(sample: Tensor) -> str:
    """sha256 of the type, shape and entries of one sample (C, *axes); a first axis of one is not told from none."""
    head = repr((str(sample.dtype), *dropwhile(lambda n: n == 1, sample.shape))).encode()
    return hashlib.sha256(head + sample.cpu().contiguous().numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class Record:
    """A record that was read: every part known, of its kind, and of a size that can be done."""

    model: str
    description: str
    weights: str
    """`ema`, `raw` or `average`."""
    length: float | None
    sha256: str
    versions: Mapping[str, str]
    device: str
    threads: int
    seed: int
    index: int
    size: int
    place: int
    """Of the sample in its batch, and of the batch."""
    condition: Mapping[str, Any]
    sampler: Sampler
    grid: Grid
    scale: float
    dtype: str
    pixels: str
    guidance: tuple[Plan[Guidance], ...] = ()
    weak: str | None = None
    """sha256 of another model's weights that it was guided away from."""
    reuse: int = 1
    compiled: bool = False
    adapters: tuple[tuple[str, float], ...] = ()
    """sha256 and scale of each that was added to the weights."""
    gaussians: str | None = None
    """sha256 of those of the data that it began with."""

    @classmethod
    def read(cls, data: Any) -> "Record":
        """The record in plain data that may be hostile. Raises ReverieError, naming the part that cannot be."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise ReverieError(f"this is not a record of format {FORMAT}: something else, or another version, wrote it")
        if data.get("made") == "edit":
            raise ReverieError("this is an edit of a picture, which the record does not hold: the same `reverie edit` on it "
                               "makes the same bytes")  # fmt: skip
        if data.get("made") != "sample":
            raise ReverieError("this shows several samples: replay one of them, or the samples.json beside it")
        weights, batch, versions = (_object(data, key) for key in ("weights", "batch", "versions"))
        name = _text(weights, "name")
        if name not in (*WEIGHTS, "average"):
            raise ReverieError(f"the record names weights {name!r}; known are ema, raw and average")
        dtype = _text(data, "dtype")
        if dtype not in DTYPES:
            raise ReverieError(f"the record names dtype {dtype!r}; known are {', '.join(DTYPES)}")
        size = _whole(batch, "size", 1, 4096)
        condition = _object(data, "condition")
        if not all(isinstance(k, str) and isinstance(v, (int, float, type(None)) if k != "prompt" else str)
                   for k, v in condition.items()):  # fmt: skip
            raise ReverieError("the record's condition must be numbers by name, and a prompt of text")
        sampler: Sampler = construct("sampler", samplers, Sampler, data.get("sampler"))
        grid: Grid = construct("grid", grids, Grid, data.get("grid"))
        modest("the record's sampler", sampler)
        modest("the record's grid", grid)
        return cls(
            model=_text(data, "model"), description=_text(data, "description"), weights=name,
            length=_number(weights, "length") if name == "average" else None, sha256=_text(weights, "sha256"),
            versions={key: _text(versions, key) for key in ("reverie", "torch")}, device=_text(data, "device"),
            threads=_whole(data, "threads", 1, 4096), seed=_whole(data, "seed", -(2**63), 2**63 - 1),
            index=_whole(data, "index", 0, 2**53), size=size, place=_whole(batch, "place", 0, size - 1),
            condition=dict(condition), sampler=sampler, grid=grid, scale=_number(data, "scale"), dtype=dtype,
            pixels=_text(data, "pixels"), guidance=_methods(data),
            weak=_text(_object(data, "weak"), "sha256") if "weak" in data else None,
            reuse=_whole(data, "reuse", 1, 4096) if "reuse" in data else 1,
            compiled=data.get("compiled", False) is True, adapters=_added(data),
            gaussians=_text(_object(data, "gaussians"), "sha256") if "gaussians" in data else None,
        )  # fmt: skip


def _methods(data: Mapping[str, Any]) -> tuple[Plan[Guidance], ...]:
    if not isinstance(value := data.get("guidance", []), list) or not all(isinstance(one, Mapping) for one in value):
        raise ReverieError(f"the record's guidance must be a list of methods, not {str(value)[:40]!r}")
    return planned(value)


def _added(data: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    if not isinstance(value := data.get("adapters", []), list) or not all(isinstance(one, Mapping) for one in value):
        raise ReverieError(f"the record's adapters must be a list of hashes and scales, not {str(value)[:40]!r}")
    return tuple((_text(one, "sha256"), _number(one, "scale")) for one in value)


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if not isinstance(value := data.get(key), Mapping):
        raise ReverieError(f"the record lacks {key}: it was cut or changed")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    if not isinstance(value := data.get(key), str) or len(value) > 200:
        raise ReverieError(f"the record's {key} must be a short text, not {str(value)[:40]!r}")
    return value


def _whole(data: Mapping[str, Any], key: str, low: int, high: int) -> int:
    if type(value := data.get(key)) is not int or not low <= value <= high:
        raise ReverieError(f"the record's {key} must be a whole number from {low} to {high}, not {str(value)[:40]!r}")
    return value


def _number(data: Mapping[str, Any], key: str) -> float:
    if type(value := data.get(key)) not in (int, float):
        raise ReverieError(f"the record's {key} must be a number, not {str(value)[:40]!r}")
    return float(value)  # type: ignore[arg-type]
