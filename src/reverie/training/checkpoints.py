"""Checkpoints: everything that resuming needs, in a folder that is whole or not there, checked by hashes."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ReverieError
from ..files import load_tensors, read_json, save_tensors, sha256, staged, write_json

KEPT = "The last checkpoint is untouched."


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
    found = [path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name))


def load(path: Path) -> Checkpoint:
    """The checkpoint in a folder. Raises ReverieError where a file is missing, cut short or changed."""
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != 1 or not isinstance(manifest.get("files"), dict):
        raise ReverieError(f"{path} has a manifest that is none")
    for name, facts in manifest["files"].items():
        file = path / name
        if Path(name).name != name or not file.is_file() or file.is_symlink():
            raise ReverieError(f"{path} lacks {name}")
        if file.stat().st_size != facts.get("size") or sha256(file) != facts.get("sha256"):
            raise ReverieError(f"{file} is not what was written: cut short or changed")
    tensors = {file[:-12]: load_tensors(path / file) for file in manifest["files"] if file.endswith(".safetensors")}
    return Checkpoint(manifest["seen"], tensors, read_json(path / "state.json"))


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
    """The inverse of `of_optimizer`."""
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    restored = [{key: tuple(v) if key == "betas" else v for key, v in group.items()} for group in groups]
    optimizer.load_state_dict({"state": state, "param_groups": restored})
