"""Checkpoints: everything that resuming needs, in a folder that is whole or not there, checked by hashes."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ReverieError, printable
from ..files import load_tensors, save_tensors, sha256, staged, write_json
from ..reading import read_object

KEPT = "The last checkpoint is untouched."
NAME = re.compile(r"[\w-][\w.-]*", re.ASCII)
"""Of a file in a checkpoint: no place but that folder."""
MOST_SEEN = 2**53
"""The most samples that a run can have seen."""


class Checkpoint(NamedTuple):
    """Named groups of tensors, and plain data beside them."""

    seen: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Writes folder/SEEN, then removes all but the last `keep`. Raises ReverieError for a weight that is not finite."""
    path = Path(folder) / f"{checkpoint.seen:08d}"
    with staged(path) as stage:
        for name, tensors in checkpoint.tensors.items():
            save_tensors(stage / f"{name}.safetensors", tensors)
        write_json(stage / "state.json", checkpoint.state)
        hashes = {one.name: {"sha256": sha256(one), "size": one.stat().st_size} for one in sorted(stage.iterdir())}
        write_json(stage / "manifest.json", {"format": 1, "seen": checkpoint.seen, "files": hashes})
    prune(folder, keep)
    return path


def prune(folder: Path, keep: int = 2) -> None:
    """Removes all but the last `keep`, whole or not."""
    for old in saved(folder)[:-keep]:
        shutil.rmtree(old)


def saved(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, good or not."""
    folder = Path(folder)
    there = list(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []
    found = [path for path in there if path.is_dir() and not path.is_symlink() and re.fullmatch(r"[0-9]+", path.name)]
    return sorted(found, key=lambda path: int(path.name))


def load(path: Path) -> Checkpoint:
    """The checkpoint in a folder. Raises ReverieError where a file is missing, cut short or changed."""
    manifest = read_object(path / "manifest.json")
    files, seen = manifest.get("files"), manifest.get("seen")
    if manifest.get("format") != 1 or not isinstance(files, dict) or "state.json" not in files:
        raise ReverieError(f"{path} has a manifest that is none")
    if type(seen) is not int or not 0 <= seen <= MOST_SEEN:
        raise ReverieError(f"{path} has a manifest that does not say how many samples were seen")
    for name, facts in files.items():
        file = path / name
        if not NAME.fullmatch(name) or not file.is_file() or file.is_symlink():
            raise ReverieError(f"{path} lacks {printable(name[:80])}")
        size, digest = (facts.get("size"), facts.get("sha256")) if isinstance(facts, dict) else (None, None)
        if file.stat().st_size != size or sha256(file) != digest:
            raise ReverieError(f"{file} is not what was written: cut short or changed")
    tensors = {file[:-12]: load_tensors(path / file) for file in files if file.endswith(".safetensors")}
    return Checkpoint(seen, tensors, read_object(path / "state.json"))


def latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and what is wrong with each newer one."""
    faults: list[str] = []
    for path in reversed(saved(folder)):
        try:
            return load(path), faults
        except ReverieError as error:
            faults.append(str(error))
    return None, faults


def of_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimizer's state as named tensors, "PARAMETER.NAME", and its groups as plain data."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}.{name}": value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        for index, entries in state["state"].items()
        for name, value in entries.items()
    }
    groups = [
        {key: list(v) if isinstance(v, tuple) else v for key, v in group.items()} for group in state["param_groups"]
    ]
    return tensors, groups


def into_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The inverse of `of_optimizer`. Raises ReverieError where they are those of another optimizer or network."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        place = int(index) if re.fullmatch(r"[0-9]{1,9}", index) else len(parameters)
        shape = None if place >= len(parameters) else () if name == "step" else parameters[place].shape
        if tensor.shape != shape or not tensor.isfinite().all():
            raise ReverieError(
                f"a checkpoint holds an optimizer's {printable(key[:80])}, which is none of this network's"
            )
        state.setdefault(place, {})[name] = tensor
    now = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(now) or not all(map(_alike, groups, now)):
        raise ReverieError("a checkpoint holds the groups of another optimizer")
    restored = [
        {key: tuple(v) if key == "betas" else v for key, v in {**own, **group}.items()}
        for own, group in zip(now, groups, strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": restored})


def _alike(group: Any, now: Mapping[str, Any]) -> bool:
    """Whether a group read from a file has the parameters and the options of the optimizer's own, with other numbers."""
    own = {"peak": 0.0, **now}  # the loop writes that number itself
    if not isinstance(group, dict) or group.get("params") != now["params"] or group.keys() - own.keys():
        return False
    if any(_kind(value) != _kind(own[key]) for key, value in group.items() if key != "params"):
        return False
    numbers = [value for value in group.values() if _kind(value) is float]
    return min(numbers, default=0) >= 0 and all(0 <= beta < 1 for beta in group.get("betas", []))


def _kind(value: Any) -> Any:
    """What JSON keeps of an option whose numbers may be others: lists of a length, and what is no number as it is."""
    if isinstance(value, (list, tuple)):
        return [_kind(one) for one in value]
    return float if isinstance(value, (int, float)) and not isinstance(value, bool) else value
