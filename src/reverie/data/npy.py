"""The .npy and .npz formats, read only after their headers were held against the size of the file.

NEP 1, https://numpy.org/neps/nep-0001-npy-format.html
"""

import io
import math
import os
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import ReverieError
from ..reading import plain

LIMIT = 16 * 2**30
"""Bytes of the largest array that is read."""
EMPTY = 2**20
"""The longest axis of an array that has no bytes."""
DEFLATE = 1032
"""What a byte of a zip archive can unpack to, at most. https://zlib.net/zlib_tech.html"""
TIMES, BOMB = 250, 2**28
"""How many times itself an archive may unpack to where that is more than some bytes: measurements do not shrink so far."""
HEADER, MEMBERS = 10_000, 1000
SURROGATE = 0xD800 >> 11
"""Where characters that are half of one begin, up to 0xDFFF. https://www.unicode.org/glossary/#surrogate_code_point
"""
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file. Raises ReverieError where it is damaged, too large, or holds Python objects."""
    try:
        with plain(path) as file:
            _check(path.name, file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            return _characters(path.name, np.load(file, allow_pickle=False))
    except OSError as error:
        raise ReverieError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise ReverieError(f"{path} is damaged: {error}") from None


def header_npy(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """(shape, type, where the numbers start) of a .npy file of rows, which may be of any size. Raises ReverieError."""
    try:
        with open(path, "rb") as file:
            shape, fortran, dtype, start = _check(path.name, file, os.fstat(file.fileno()).st_size, limit=None)
    except OSError as error:
        raise ReverieError(f"{path} cannot be read: {error.strerror or error}") from None
    if fortran and len(shape) > 1:
        raise ReverieError(f"{path.name} has its columns first, so its rows cannot be read one by one: save it with "
                           "np.ascontiguousarray")  # fmt: skip
    return shape, dtype, start


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file, by name. Raises ReverieError where one of them is anything but a plain array."""
    try:
        with plain(path) as file, zipfile.ZipFile(file) as archive:
            room, names = os.path.getsize(path), [name.removesuffix(".npy") for name in archive.namelist()]
            if len(names) != len(set(names)):
                raise ReverieError(f"{path.name}: an array stands in it twice")
            for one in archive.infolist():
                if one.file_size > DEFLATE * (min(one.compress_size, room) + 64):
                    raise ReverieError(f"{path.name}: {one.filename} claims more bytes than it can unpack to")
            whole = sum(one.file_size for one in archive.infolist())
            if len(names) > MEMBERS or whole > max(BOMB, TIMES * room):
                raise ReverieError(f"{path.name} is refused: {len(names)} arrays of {whole} bytes in {room} are a bomb")
            for one in archive.infolist():
                with archive.open(one) as member:
                    _check(f"{path.name}: {one.filename}", member, one.file_size)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: _characters(f"{path.name}: {name}", arrays[name]) for name in arrays.files}
    except OSError as error:
        raise ReverieError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ReverieError(f"{path} is damaged: {error}") from None


def _characters(name: str, array: np.ndarray) -> np.ndarray:
    """The array, whose text, if it is text, is Unicode: any four bytes can stand where a character should."""
    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).reshape(-1).view(array.dtype.byteorder + "u4")
        if codes.max() > sys.maxunicode or (codes >> 11 == SURROGATE).any():
            raise ReverieError(f"{name} holds text that is not Unicode; save it anew")
    return array


def _check(
    name: str, file: IO[bytes], size: int, limit: int | None = LIMIT
) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """(shape, whether columns come first, type, where the numbers start) of what can be read. Raises ReverieError."""
    head = io.BytesIO(file.read(12))
    try:
        version = np.lib.format.read_magic(head)
    except ValueError:
        raise ReverieError(f"{name} is not a .npy file") from None
    if version not in READERS:
        raise ReverieError(f"{name} has format {version[0]}.{version[1]}, which holds no plain array")
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(head.getvalue()[8 : 8 + width], "little")
    start = 8 + width + length
    if start > size or length > HEADER:
        raise ReverieError(f"{name} is damaged: its header is longer than the file or than any header is")
    rest = head.getvalue()[8:] + file.read(start - 12)
    try:
        shape, fortran, dtype = READERS[version](io.BytesIO(rest))
    except Exception as error:  # the header is read as a literal, which fails in as many ways as there are mistakes
        raise ReverieError(f"{name} is damaged: its header cannot be read") from error
    if dtype.hasobject:
        raise ReverieError(f"{name} holds Python objects, which could run code; save numbers of one type")
    if dtype.kind not in "biufUS":
        raise ReverieError(f"{name} holds {dtype}, which is neither numbers nor text; save real numbers")
    if not math.prod(shape) * dtype.itemsize and max(shape, default=0) > EMPTY:
        raise ReverieError(f"{name} states {max(shape)} entries of nothing")
    needed = math.prod(shape) * dtype.itemsize
    if limit is not None and needed > limit:
        raise ReverieError(f"{name} states {needed / 2**30:.0f} GiB; at most {limit // 2**30} are read")
    if start + needed != size:
        raise ReverieError(f"{name} is damaged: its header states {needed} bytes of numbers, it holds {size - start}")
    return shape, fortran, dtype, start
