"""The header of a safetensors file, held against the size of the file before anything is allocated.

    8 bytes: length n of the header, little-endian | n bytes: JSON, {name: {dtype, shape, data_offsets}} | the tensors

https://github.com/huggingface/safetensors
"""

import math
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

from .errors import ReverieError
from .reading import parse_json, plain

LIMIT = 16 * 2**20
"""Bytes of a header."""
NOTE = 2**20
"""Bytes of what a header may say beside its tensors."""
TENSORS, AXES = 2**16, 16
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of an entry of each type that a network here can have."""


class Stated(NamedTuple):
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[int, ...]


def header(path: Path, limit: int = 64 * 2**30) -> dict[str, Stated]:
    """The tensors of a file, by name, none of them read.

    Raises ReverieError where the file is none, or its tensors overlap, leave gaps, stand twice, or lie beyond its end.
    """
    return opened(path, limit)[0]


def noted(path: Path) -> dict[str, str]:
    """What the header notes beside its tensors, text by name. Raises ReverieError likewise."""
    return opened(path, 64 * 2**30)[1]


def opened(path: Path, limit: int) -> tuple[dict[str, Stated], dict[str, str]]:
    with plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        if not 2 <= length <= min(LIMIT, size - 8) or size > limit:
            raise ReverieError(f"{path} is not a safetensors file of a credible size; nothing was loaded")
        text = file.read(length)
    try:
        stated = parse_json(text.decode(), f"the header of {path}", LIMIT)
    except UnicodeDecodeError:
        raise ReverieError(f"{path} is damaged: its header is not text") from None
    if not isinstance(stated, dict) or text[:1] != b"{":
        raise ReverieError(f"{path} is damaged: its header is no object")
    note = stated.pop("__metadata__", {})
    if not isinstance(note, dict) or not all(isinstance(said, str) for said in note.values()):
        raise ReverieError(f"{path} is damaged: what its header notes is not text by name")
    if sum(len(key) + len(said) for key, said in note.items()) > NOTE:
        raise ReverieError(f"{path} is refused: its header notes more than {NOTE} characters")
    if len(stated) > TENSORS:
        raise ReverieError(f"{path} is refused: it lists more than {TENSORS} tensors")
    found, places = {}, []
    for name, facts in stated.items():
        found[name], place = _tensor(path, name, facts)
        places.append(place)
    end = 0
    for first, last in sorted(places):
        if first != end:
            raise ReverieError(f"{path} is damaged: its tensors {'overlap' if first < end else 'leave a gap'}")
        end = last
    if 8 + length + end != size:
        raise ReverieError(f"{path} is damaged: its tensors end at byte {8 + length + end}, the file at {size}")
    return found, note


def _tensor(path: Path, name: str, facts: Any) -> tuple[Stated, tuple[int, int]]:
    told = f"{path} is damaged: {name[:80]!r}"
    if not isinstance(facts, dict) or facts.keys() != {"dtype", "shape", "data_offsets"}:
        raise ReverieError(f"{told} is not stated by dtype, shape and data_offsets")
    dtype, shape, place = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise ReverieError(f"{told} is of type {str(dtype)[:20]!r}; known are {', '.join(SIZES)}")
    for what, numbers in (("shape", shape), ("place", place)):
        if not isinstance(numbers, list) or len(numbers) > AXES or not all(type(n) is int and n >= 0 for n in numbers):
            raise ReverieError(f"{told} has a {what} that is none")
    if len(place) != 2 or place[1] - place[0] != math.prod(shape) * SIZES[dtype]:
        raise ReverieError(f"{told} does not fill its place: {shape} of {dtype} are not {place} bytes")
    return Stated(dtype, tuple(shape)), (place[0], place[1])
