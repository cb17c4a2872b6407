"""Files written so that a crash leaves the old one or the new one, and read so that they can do no harm."""

import hashlib
import json
import math
import os
import re
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .errors import ReverieError

JSON_LIMIT = 64 * 2**20
HEADER_LIMIT = 16 * 2**20
DEPTH_LIMIT = 32


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


def read_json(path: Path, limit: int = JSON_LIMIT) -> Any:
    """Plain data of bounded size and depth; no NaN, no key twice. Raises ReverieError."""
    path = Path(path)
    try:
        if path.stat().st_size > limit:
            raise ReverieError(f"{path} is larger than {limit} bytes: not a file of ours")
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ReverieError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReverieError(f"{path} cannot be read: {error}") from None
    return parse_json(text, str(path))


def parse_json(text: str, source: str) -> Any:
    """`read_json` for text that came from `source`, whose size the caller has bounded."""

    def no_constant(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"{text[:20]} is out of range")
        return value

    def integer(text: str) -> int:
        if len(text) > 20:
            raise ValueError(f"{text[:20]}... is out of range")
        return int(text)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    if _depth(text) > DEPTH_LIMIT:
        raise ReverieError(f"{source} is nested too deep")
    try:
        return json.loads(
            text, parse_constant=no_constant, parse_float=number, parse_int=integer, object_pairs_hook=once
        )
    except (ValueError, RecursionError) as error:
        raise ReverieError(f"{source} is not valid JSON: {error}") from None


def _depth(text: str) -> int:
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


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

    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ReverieError(f"{path} cannot be read: {error.strerror}") from None
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
    if not 2 <= length <= min(HEADER_LIMIT, size - 8) or size > limit:
        raise ReverieError(f"{path} is not a safetensors file of a credible size; nothing was loaded")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ReverieError(f"{path} is damaged: {error}") from None


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Loads weights strictly. Raises ReverieError listing the missing, unexpected and misshapen tensors."""
    own = module.state_dict()
    faults = {
        "missing": [name for name in own if name not in tensors],
        "unexpected": [name for name in tensors if name not in own],
        "misshapen": [
            f"{name} is {tuple(tensors[name].shape)} where {tuple(own[name].shape)} is needed"
            for name in own
            if name in tensors and own[name].shape != tensors[name].shape
        ],
    }
    told = [f"{len(names)} {kind}: {_some(names)}" for kind, names in faults.items() if names]
    if told:
        raise ReverieError(f"{source} does not fit {type(module).__name__}: {'; '.join(told)}")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ReverieError(f"{source} holds numbers that are not finite, in {name}")
    module.load_state_dict(dict(tensors))


def _some(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
