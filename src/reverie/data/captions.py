"""What is said about the files of a folder: metadata.jsonl as the `imagefolder` of Hugging Face's datasets has it (a JSON
object a line: `file_name`, relative to the folder of the metadata.jsonl, and columns), and .txt files beside the others.
"""

import codecs
import json
import math
import os
import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .base import Skipped
from .opening import Unusable, opened

METADATA = "metadata.jsonl"
CAPTION = ("text", "caption")
"""The columns that hold the caption; the first that a line has."""
LINE, TEXT, COLUMNS = 2**20, 2**16, 64
"""Bytes of the longest line, bytes of the longest caption file, and the most columns of numbers."""
TABLE, FAULTS = 2**28, 1000
"""Bytes of the largest table, and the lines that cannot be used after which it is not read on."""
LARGEST = 3e38
"""Of float32."""


@dataclass
class Said:
    """By the names of files: captions, classes, and numbers by column; and what could not be used and why.

    `files` are those that hold captions, and are no samples.
    """

    captions: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    faults: list[Skipped] = field(default_factory=list)
    encodings: Counter[str] = field(default_factory=Counter)
    unused: set[str] = field(default_factory=set)


def read(folder: Path, found: Sequence[str], kinds: Sequence[str]) -> Said:
    """What the caption files among `found`, names below the folder, say of the others; samples end in one of `kinds`.

    A name in metadata.jsonl is looked up among `found` and never opened, so that none leads out of the folder.
    """
    said, root = Said(), os.path.join(os.path.realpath(folder), "")
    tables = [name for name in found if posixpath.basename(name) == METADATA]
    stems: dict[str, list[str]] = {}
    for name in found:
        stem, ending = os.path.splitext(name)
        if ending.lower() in kinds:
            stems.setdefault(stem, []).append(name)
    beside = [name for name in found if name.lower().endswith(".txt") and name[:-4] in stems]
    said.files = {*tables, *beside}
    known = set(found) - said.files
    for table in tables:
        try:
            _table(root, table, known, said)
        except Unusable as reason:
            said.faults.append(Skipped(table, str(reason)))
    for name in beside:
        _beside(root, name, stems[name[:-4]], said)
    return said


def _within(root: str, name: str) -> str:
    path = os.path.join(root, name)
    if os.path.islink(path) and not os.path.realpath(path).startswith(root):
        raise Unusable("a link that leads outside the folder")
    return path


def _beside(root: str, name: str, owners: Sequence[str], said: Said) -> None:
    try:
        with opened(_within(root, name)) as file:
            content = file.read(TEXT + 1)
        text, encoding = caption_of(content)
        said.encodings[encoding] += 1
        for owner in owners:
            if said.captions.setdefault(owner, text) != text:
                raise Unusable(f"{METADATA} has another caption, which is used")
    except Unusable as reason:
        said.faults.append(Skipped(name, str(reason)))


def caption_of(content: bytes) -> tuple[str, str]:
    """(caption, encoding) of a caption file. Raises Unusable."""
    if len(content) > TEXT:
        raise Unusable(f"longer than {TEXT // 1024} KiB, so no caption")
    tries = [("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        tries = [("utf-16", "UTF-16")]
    for codec, encoding in tries:
        try:
            return _plain(content.decode(codec)), encoding
        except UnicodeDecodeError:
            continue
    raise Unusable("not text")


def _plain(text: str) -> str:
    """One line without what no caption holds. Raises Unusable."""
    text = " ".join(text.split())
    if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in text):
        raise Unusable("not text")
    if not text:
        raise Unusable("an empty caption")
    return text


def _table(root: str, table: str, known: set[str], said: Said) -> None:
    seen: set[str] = set()
    if os.path.getsize(_within(root, table)) > TABLE:
        raise Unusable(f"larger than {TABLE // 2**20} MiB, so no table")
    before = len(said.faults)
    for number, line in _lines(root, table):
        if len(said.faults) - before > FAULTS:
            raise Unusable(f"more than {FAULTS} lines cannot be used; what follows was not read")
        try:
            entry = entry_of(line)
            name = _target(posixpath.dirname(table), entry.pop("file_name", None), known)
            if name in seen:
                raise Unusable("names a file for the second time")
            seen.add(name)
            take_columns(entry, name, said)
        except Unusable as reason:
            said.faults.append(Skipped(f"{table}:{number}", str(reason)))
    said.encodings["UTF-8"] += 1


def _lines(root: str, table: str) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, of bounded length; of a longer one, its start."""
    with opened(_within(root, table)) as file:
        number, rest = 0, False
        while line := file.readline(LINE + 1):
            number += not rest
            if not rest and line.strip():
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            rest = not line.endswith(b"\n")


def entry_of(line: bytes) -> dict[str, Any]:
    """The object in a line, or in a file, of JSON. Raises Unusable."""
    if len(line) > LINE:
        raise Unusable("longer than 1 MiB")
    try:
        entry = json.loads(line.decode(), parse_constant=lambda name: math.nan if name == "NaN" else math.inf)
    except UnicodeDecodeError:
        raise Unusable("not UTF-8") from None
    except (ValueError, RecursionError):
        raise Unusable("not JSON") from None
    if not isinstance(entry, dict):
        raise Unusable("not an object with a file_name")
    return entry


def _target(here: str, name: Any, known: set[str]) -> str:
    """The file that a line is about, one of those known. Raises Unusable."""
    if not isinstance(name, str) or not name:
        raise Unusable("not an object with a file_name")
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or ".." in parts or parts[0].endswith(":"):
        raise Unusable("names a file outside the folder, which is not looked at")
    below = posixpath.normpath(posixpath.join(here, name))
    if below not in known:
        raise Unusable("names a file that is not there")
    return below


def take_columns(entry: dict[str, Any], name: str, said: Said) -> None:
    """Takes over all that can be used of a line, and then raises Unusable where something could not be."""
    fault = ""
    key = next((key for key in CAPTION if key in entry), None)
    if key is not None:
        text = entry.pop(key)
        try:
            if not isinstance(text, str):
                raise Unusable(f"its {key} is no text")
            said.captions[name] = _plain(text)
        except Unusable as reason:
            fault = str(reason)
    for column, value in entry.items():
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is None or value != value:
            continue
        if column == "label" and isinstance(value, (str, int)) and not isinstance(value, bool):
            said.labels[name] = str(value).encode(errors="backslashreplace").decode()
        elif not plain or column == "label" or (column not in said.numbers and len(said.numbers) >= COLUMNS):
            if len(said.unused) < COLUMNS:
                said.unused.add(column)
        elif abs(value) > LARGEST:
            fault = fault or "a number that is not finite"
        else:
            said.numbers.setdefault(column, {})[name] = float(value)
    if fault:
        raise Unusable(fault)
