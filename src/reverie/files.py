"""Files written so that a crash leaves the old one or the new one, and read so that they can do no harm."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import indent
from typing import Any

from torch import Tensor, nn

from .errors import ReverieError, printable
from .headers import header
from .reading import JSON_LIMIT as JSON_LIMIT
from .reading import parse_json as parse_json
from .reading import read_json as read_json


def cache_folder(*below: str) -> Path:
    """Where what was fetched for this user is kept: $REVERIE_CACHE, or the place that the system has for caches."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("REVERIE_CACHE") or user_cache_dir("reverie"), *below)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """All of it or nothing: written beside, synced, renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Numbers must be finite: JSON has no NaN, and a reader elsewhere would stumble. Raises ReverieError."""
    try:
        text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise ReverieError(f"{Path(path).name} was not written: it would hold numbers that are not finite") from None
    write_text(path, text + "\n")


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[Any], None]]:
    """Hands out what adds an entry to a list: the bytes of `write_json` without the list in memory. For files in `staged`."""
    with open(path, "w", encoding="utf-8") as file:
        entries = 0

        def add(value: Any) -> None:
            nonlocal entries
            text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
            file.write((",\n" if entries else "[\n") + indent(text, " "))
            entries += 1

        yield add
        file.write("\n]\n" if entries else "[]\n")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder that appears whole or not at all: filled under a hidden name, synced, renamed. Replaces an old one."""
    folder = Path(folder)
    made = [place for place in folder.parents if not place.exists()]
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir()
    try:
        yield stage
        for path in sorted(stage.rglob("*")):
            sync(path)
        sync(stage)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
            os.replace(folder, old)
            os.replace(stage, folder)
            shutil.rmtree(old)
        else:
            os.replace(stage, folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        for place in made:
            with suppress(OSError):  # somebody else's by now
                place.rmdir()
        raise


def sweep(folder: Path) -> None:
    """Clears away what processes that died were writing below a folder, and puts back what one was replacing."""
    for path in sorted(Path(folder).rglob(".*")):
        match = re.fullmatch(r"\.(.+)\.(\d+)\.(tmp|old)", path.name)
        if not match or _alive(int(match[2])):
            continue
        if match[3] == "old" and not (whole := path.with_name(match[1])).exists():
            os.replace(path, whole)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if process == os.getpid():
        return False  # a name that came round again: this one has nothing half-written here
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def save_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, str] | None = None) -> None:
    """Writes safetensors, atomically. Raises ReverieError where a number is not finite, and writes nothing."""
    from safetensors.torch import save

    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ReverieError(f"{name} holds numbers that are not finite; {Path(path).name} was not written")
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(note or {}))
    write_bytes(path, data)


def load_tensors(path: Path, limit: int = 64 * 2**30) -> dict[str, Tensor]:
    """Reads safetensors after checking the header against the file, before anything is allocated."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header(path, limit)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise ReverieError(f"{path} is damaged: {error}") from None


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Loads weights strictly. Raises ReverieError listing the missing, unexpected and misshapen tensors."""
    own = module.state_dict()
    must_fit(_shapes(tensors), _shapes(own), source, type(module).__name__)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise ReverieError(f"{source} holds {tensor.dtype} in {name}, where {own[name].dtype} is needed")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ReverieError(f"{source} holds numbers that are not finite, in {name}")
    module.load_state_dict(dict(tensors))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


Shapes = Mapping[str, tuple[int, ...]]


def must_fit(given: Shapes, needed: Shapes, source: str, target: str) -> None:
    """Raises ReverieError where the tensors of a file are not those of a network, by names and shapes alone."""
    faults = {
        "missing": [name for name in needed if name not in given],
        "unexpected": [name for name in given if name not in needed],
        "misshapen": [
            f"{name} is {given[name]} where {needed[name]} is needed"
            for name in needed
            if name in given and given[name] != needed[name]
        ],
    }
    told = [f"{len(names)} {kind}: {_some(names)}" for kind, names in faults.items() if names]
    if told:
        raise ReverieError(f"{source} does not fit {target}: {'; '.join(told)}")


def _some(names: Iterable[str], most: int = 8) -> str:
    names = [printable(name[:160]) for name in names]
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
