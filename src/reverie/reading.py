"""Files that may be anybody's: opened only where they are plain, kept inside their folder, JSON of bounded size."""

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

from .errors import ReverieError

SMALL = 4 * 2**20
"""Bytes of what describes a run: model.json, recipe.json, a manifest."""
JSON_LIMIT = 64 * 2**20
"""Bytes of a list of samples, the longest JSON there is."""
DEPTH_LIMIT = 32
BYTES_A_VALUE = 32
"""What a value takes at least, on average, in a file that says something: less would fill memory with empty lists."""


def plain(path: Path) -> BinaryIO:
    """A plain file, opened to be read. Raises ReverieError; pipes and devices, which could keep us waiting, are not opened."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ReverieError(f"{path} is not a plain file")
        return open(path, "rb")
    except FileNotFoundError:
        raise ReverieError(f"{path} is missing, so it cannot be read") from None
    except (OSError, ValueError) as error:
        raise ReverieError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_bytes(path: Path, limit: int) -> bytes:
    """All of a plain file of at most `limit` bytes. Raises ReverieError."""
    with plain(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise ReverieError(f"{path} is larger than {limit} bytes: not a file of ours")
        try:
            return file.read(limit)
        except OSError as error:
            raise ReverieError(f"{path} cannot be read: {error.strerror}") from None


def contained(folder: Path) -> None:
    """Raises ReverieError where a link below a folder leads out of it, or something there is neither file nor folder.

    What is read or written below the folder afterwards is below it. Folders that may not be read are passed over.
    """
    root = os.path.realpath(folder)
    left = [root]
    while left:
        try:
            entries = list(os.scandir(left.pop()))
        except OSError:
            continue
        for entry in entries:
            name = os.path.relpath(entry.path, root)
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if target != root and not target.startswith(os.path.join(root, "")):
                    raise ReverieError(f"{folder} is refused: {name!r} in it is a link that leads out of it")
            elif entry.is_dir(follow_symlinks=False):
                left.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                raise ReverieError(f"{folder} is refused: {name!r} in it is neither a file nor a folder")


def read_json(path: Path, limit: int = SMALL, endless: bool = False) -> Any:
    """Plain data of bounded size and depth; no NaN, no key twice; with `endless`, infinity and larger whole numbers too.

    Raises ReverieError.
    """
    data = read_bytes(path, limit)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ReverieError(f"{path} cannot be read: {error}") from None
    return parse_json(text, str(path), limit, endless)


def read_object(path: Path, limit: int = SMALL, endless: bool = False) -> dict[str, Any]:
    """`read_json` of what must be an object."""
    if not isinstance(found := read_json(path, limit, endless), dict):
        raise ReverieError(f"{path} is not an object with names: not a file of ours")
    return found


def parse_json(text: str, source: str, limit: int = SMALL, endless: bool = False) -> Any:
    """`read_json` for text that came from `source`, whose size the caller has bounded."""

    def constant(name: str) -> float:
        if endless and name != "NaN":
            return float(name)
        raise ValueError(f"{name} is not a number")

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"{text[:20]} is out of range")
        return value

    def integer(text: str) -> int:
        if len(text) > (40 if endless else 20):
            raise ValueError(f"{text[:20]}... is out of range")
        return int(text)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    if sum(map(text.count, ",[{")) > limit // BYTES_A_VALUE:
        raise ReverieError(f"{source} lists more than any file of ours")
    try:
        found = json.loads(text, parse_constant=constant, parse_float=number, parse_int=integer, object_pairs_hook=once)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be printed
    except RecursionError:
        raise ReverieError(f"{source} is nested too deep") from None
    except ValueError as error:
        raise ReverieError(f"{source} is not valid JSON: {error}") from None
    if _deeper(found, DEPTH_LIMIT):
        raise ReverieError(f"{source} is nested too deep")
    return found


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        inside = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        if not (level := [one for values in inside for one in values]):
            return False
    return True
