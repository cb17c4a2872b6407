"""Making a sample again from its record and the weights alone, and comparing it with the file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import discover, modalities
from ..errors import ReverieError, printable
from ..files import JSON_LIMIT, parse_json, read_json
from ..modalities.base import Modality
from .base import hash_of, open_run, shipped
from .bounds import MOST_STEPS
from .diffusion import Diffusion
from .records import BESIDE, KEY, MOST_ROWS, Record, description, fingerprint, records, surroundings

TEXT_LIMIT = 2**18


@dataclass(frozen=True)
class Replayed:
    """What came of it. A level is 1 of a picture's 255, and 1/255 of the range of an array's entries."""

    made: Tensor
    """The sample as it was made now, (C, *axes)."""
    record: dict[str, Any]
    """What made it now."""
    differing: int
    """Pixels of a picture, or numbers of an array, that are not equal to those of the file, of `total`."""
    total: int
    levels: float
    """The largest difference."""
    edited: bool
    """Whether the file's entries are others than those that were recorded when it was made."""
    regenerated: bool
    """Whether the recorded entries came out again, whatever the file holds now."""
    alone: bool
    causes: tuple[str, ...]
    """What is seen to be other than it was when the sample was made, in sentences."""

    @property
    def matches(self) -> bool:
        """Every entry equal in the recorded batch; within one level alone, where products round otherwise."""
        return self.differing == 0 or (self.alone and not self.edited and self.levels <= 1)


def written(path: Path) -> Modality:
    """The modality whose samples have this ending."""
    for cls in discover.discover(modalities, Modality).values():
        if path.suffix.lower() in cls.written:
            return cls()
    endings = ", ".join(sorted(end for cls in discover.discover(modalities, Modality).values() for end in cls.written))
    raise ReverieError(f"{printable(path.name)} is no sample: those end in {endings}")


def said_by(path: Path) -> Any:
    """What a file that may be hostile says made it, unread: its own text, or its entry in the samples.json beside it.

    Raises ReverieError where it says nothing.
    """
    _, texts = written(path).decode(path)
    if (text := texts.get(KEY)) is not None:
        if len(text) > TEXT_LIMIT:
            raise ReverieError(f"{printable(path.name)} carries a record of {len(text):,} characters: none of ours")
        return parse_json(text, f"the record in {printable(path.name)}")
    with suppress(FileNotFoundError):
        for entry in listed(path.parent / BESIDE) if (path.parent / BESIDE).is_file() else []:
            if entry["file"] == path.name:
                return entry
    raise ReverieError(
        f"nothing says what made {printable(path.name)}: it holds no record, and no {BESIDE} beside it names it. "
        "It was written with --no-metadata, by another program, or moved alone"
    )


def listed(path: Path) -> list[dict[str, Any]]:
    """The entries of a samples.json. Raises ReverieError where it is none."""
    entries = read_json(path, limit=JSON_LIMIT)
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise ReverieError(f"{printable(path.name)} is no list of samples")
    for entry in entries:
        name = entry.get("file")
        if not isinstance(name, str) or Path(name).name != name:
            raise ReverieError(f"{printable(path.name)} names a file that is not beside it: {str(name)[:80]!r}")
    return entries


def located(record: Record, model: str | None = None) -> Path:
    """The folder of the weights: the one that is given, or by the recorded name a folder here, one in runs, or a shipped
    model, the first whose weights are the recorded ones. Raises ReverieError where there is none.
    """
    if model is not None:
        return Path(model) if Path(model).is_dir() else shipped(model)
    name, found = record.model, []
    if Path(name).name == name and name not in ("", ".."):
        found = [place for place in (Path(name), Path("runs") / name) if (place / "model.json").is_file()]
        with suppress(ReverieError):
            found.append(shipped(name))
    for place in found:
        if hash_of(place, record.weights, record.length) == record.sha256:
            return place
    if found:
        return found[0]
    raise ReverieError(f"the model {name!r} is not here: say where with --model RUN")


def opened(record: Record, folder: Path) -> Diffusion:
    weights = "ema" if record.weights == "average" else record.weights
    system = open_run(folder, weights, record.length)
    assert isinstance(system, Diffusion)
    return system


def replay(
    sample: Tensor, record: Record, system: Diffusion, alone: bool = False, weak: Diffusion | None = None
) -> Replayed:
    """Makes the sample (C, *axes) of a record again, alone or in its place in a batch of the recorded size.

    What stands beside it in the batch has no part in it, so its own copies do. `weak` is the model that it was guided away
    from, where there was one that is not a part of the system. Raises ReverieError where the record asks
    for more than is credible, or the system cannot do it.
    """
    made_of = system.raw_shape
    if (1, *sample.shape) == made_of:
        sample = sample[None]  # a volume in a TIFF is its layers
    if tuple(sample.shape) != made_of:
        raise ReverieError(f"the file holds {_by(sample.shape)}, and the model makes {_by(made_of)}")
    if len(record.adapters) > len(system.adapters):
        sha256, scale = next(one for one in record.adapters if one not in system.adapters)
        raise ReverieError(
            f"an adapter was added here, sha256 {printable(sha256[:16])}, {scale:g} times: give --adapter FILE"
        )
    if record.weak is not None and weak is None:
        weak = system.early(record.guidance, record.scale)
    if record.weak is not None and weak is None:
        raise ReverieError(
            f"this was guided away from another model, sha256 {record.weak[:16]}: say where with --weak RUN"
        )
    size, place = (1, 0) if alone else (record.size, record.place)
    with threads(record.threads), doable():
        steps = len(record.grid(system.denoiser.schedule)) - 1
        if steps > MOST_STEPS or steps * size > MOST_ROWS:
            raise ReverieError(f"the record asks for {steps:,} steps of {size:,} samples, more than any of ours takes")
        causes = differences(record, system, weak)
        part = system.generate(
            index=[record.index] * size, seed=record.seed, condition=[record.condition] if record.condition else None,
            scale=record.scale, sampler=record.sampler, grid=record.grid, dtype=record.dtype, batch=size,
            guidance=record.guidance, weak=weak if record.weak is not None else None, reuse=record.reuse,
            compiled=record.compiled, start="noise" if record.gaussians is None else "gaussian",
        )  # fmt: skip
        made, anew = system.modality.stored(part.raw[place]), records(system, record.model, part)[place]
    if made.dtype != sample.dtype:
        raise ReverieError(f"the file holds {sample.dtype}, and the model makes {made.dtype}")
    gap = (made.double() - sample.double()).abs()
    level = 1.0 if not made.is_floating_point() else (sample.max() - sample.min()).item() / 255
    most, off = gap.max().item(), gap > 0 if made.is_floating_point() else (gap > 0).any(0)
    return Replayed(
        made, anew, int(off.sum()), off.numel(), most / level if level else most, fingerprint(sample) != record.pixels,
        fingerprint(made) == record.pixels, alone, causes,
    )  # fmt: skip


def differences(record: Record, system: Diffusion, weak: Diffusion | None = None) -> tuple[str, ...]:
    """What is other now than when the sample was made."""
    now, found = surroundings(system.device), []
    versions = now["versions"].items()
    if system.weights_hash != record.sha256:
        found.append(f"the weights are others: sha256 {system.weights_hash[:16]} now, {record.sha256[:16]} then")
    if record.weak is not None and weak is not None and weak.weights_hash != record.weak:
        found.append(f"the weak weights are others: sha256 {weak.weights_hash[:16]} now, {record.weak[:16]} then")
    if record.gaussians is not None and system.gaussians is not None and system.gaussians.sha256 != record.gaussians:
        found.append("the Gaussians of the data that it begins with are others")
    if system.adapters != record.adapters:
        found.append("other adapters were added to the weights then, or at other scales")
    if description(system) != record.description:
        found.append("model.json describes another model")
    found += [f"{what} is {v} now, {record.versions[what]} then" for what, v in versions if v != record.versions[what]]
    if now["device"] != record.device:
        found.append(f"it runs on {now['device']} now, on {record.device} then")
    if now["threads"] != record.threads:
        found.append(f"it runs on {now['threads']} threads now, on {record.threads} then")
    return tuple(map(printable, found))


@contextmanager
def doable() -> Iterator[None]:
    """Numbers that no sampler can work with are the record's fault, wherever in the sampler they are noticed."""
    try:
        yield
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise ReverieError(f"what the record asks for cannot be done: {printable(str(error)[:200])}") from error


@contextmanager
def threads(count: int) -> Iterator[None]:
    """As many threads as then, where this machine has the processors for it."""
    before = torch.get_num_threads()
    if count <= (os.cpu_count() or 1):
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _by(shape: Any) -> str:
    return " x ".join(map(str, shape))
