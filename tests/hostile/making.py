"""Hostile files, by format: how each is made in an empty folder, the command that is to refuse it, and what that says."""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MIB = 2**20
RUN = ("info", "run")
SAMPLE = ("sample", "run", "-n", "1", "--out", "out")
RESUME = ("train", "--resume", "run")


@dataclass(frozen=True)
class Case:
    """`do` is a command line, or `@` and the name of a reader that no command reaches without a matching hash."""

    format: str
    name: str
    make: Callable[[Path], object]
    do: tuple[str, ...]
    says: str
    memory: int = 64 * MIB


class Evil:
    """What a pickle does to whoever loads it: writes over the canary."""

    def __reduce__(self):
        return exec, (f"open({os.environ['CANARY']!r}, 'w').write('sung')",)


def pickled(style: str = "raw") -> bytes:
    """As old PyTorch wrote it, or as the zip that torch.save writes."""
    content = pickle.dumps({"state_dict": Evil()})
    if style == "raw":
        return content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3")
    return file.getvalue()


def run(here: Path) -> Path:
    """A copy of the healthy run."""
    return Path(shutil.copytree(os.environ["HEALTHY"], here / "run", symlinks=True))


def edit(path: Path, change: Callable[[dict], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def put(**changes: object) -> Callable[[dict], None]:
    """Sets `a__b` to a value, in the object `a` of the file."""

    def change(value: dict) -> None:
        for key, new in changes.items():
            *above, last = key.split("__")
            inner = value
            for name in above:
                inner = inner[name]
            inner[last] = new

    return change


def sparse(path: Path, size: int, start: bytes = b"") -> None:
    """A file that claims to be long and takes no room on the disk."""
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)


def placed(name: str, content: Callable[[], bytes]) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(content())

    return make


def numbers(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)  # type: ignore[arg-type]
    return file.getvalue()


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name.replace("__", "."), content)
    return file.getvalue()


def newest(folder: Path) -> Path:
    return sorted((folder / "checkpoints").iterdir())[-1]


def rehashed(path: Path, *names: str) -> None:
    from hashlib import sha256

    for name in names:
        data = (path / name).read_bytes()
        edit(
            path / "manifest.json",
            lambda m: m["files"].__setitem__(name, {"sha256": sha256(data).hexdigest(), "size": len(data)}),
        )


def nested(name: str, inside: str, times: int, **more: object) -> dict:
    found: dict = {"name": name, **more}
    for _ in range(times):
        found = {"name": name, **more, inside: found}
    return found


def chunked(**texts: bytes) -> bytes:
    """A PNG of one pixel with texts in chunks, the long ones compressed."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    said = [chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(text)) for key, text in texts.items()]
    pixel = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + b"".join(said)
        + pixel
        + chunk(b"IEND", b"")
    )


def claiming_png(width: int, height: int) -> bytes:
    whole = bytearray(chunked())
    whole[16:24] = struct.pack(">II", width, height)
    whole[29:33] = struct.pack(">I", zlib.crc32(bytes(whole[12:29])))
    return bytes(whole)


def bomb(total: int) -> bytes:
    """A gzip file of zeros, in members, that is made as quickly as it is small."""
    member = gzip.compress(bytes(2**24))
    return member * (total // 2**24)
