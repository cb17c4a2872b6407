"""Pictures decoded once, wherever they lie, into a file of levels in the cache, which is read row by row."""

import errno
import fcntl
import json
import os
import shutil
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch

from .. import files
from ..errors import ReverieError
from .ahead import ahead
from .base import Dataset, Skipped
from .described import described
from .folders import changes_of, fitted, load_folder, notes_on, nothing_usable, planes
from .listing import PICTURES, listing
from .opening import Unusable
from .sources import Pictures, Source, pieces, source_of
from .squares import LARGEST, check_size, side_of
from .stored import Stored, blocks, fits

if TYPE_CHECKING:
    from .pictures import Picture

FORMAT = 1
"""Goes up whenever the same files would be decoded to other levels."""
CHUNK = 16
"""Pictures that a thread takes at a time."""
ROUNDS = 4
PATIENCE = 10
"""Seconds after which a person is told how far it is."""
INDEX = 2**30
"""Bytes of the longest index that is read."""

Contents = tuple[str, Callable[[], BinaryIO]]


@dataclass
class Decoded:
    """What became of the pictures of a source, beside their levels: those used, in order, and the rest of the report."""

    names: list[str]
    shape: list[int]
    skipped: list[list[str]]
    sizes: dict[str, int]
    changes: dict[str, int]
    notes: list[str]
    doubts: list[str]


def load_pictures(path: Path, size: int | None = None, channels: int | None = None) -> Dataset:
    """Pictures of a folder, of archives or of tables, or of a pattern such as shards/*.tar, as `load_folder` has them.

    A folder that memory holds is decoded into it. Everything else is decoded once, into the cache, where it is found
    again as long as no file of it changes; it is read from there row by row, or as a whole where memory holds that.
    """
    found = pieces(path)
    if not found and not too_large(path, size):
        return load_folder(path, size, channels)
    check_size(size)
    if channels not in (None, 1, 3):
        raise ReverieError(f"pictures have 1 or 3 channels, not {channels}")
    return load_source(source_of(path, found) if found else Pictures(path), size, channels)


def too_large(folder: Path, size: int | None) -> bool:
    """Whether the pictures of a folder, in colour and at their size, could be more than memory holds."""
    count = sum(name.lower().endswith(PICTURES) for name in listing(folder).found)
    return not fits(count * 3 * (size or LARGEST) ** 2)


def load_source(source: Source, size: int | None, channels: int | None) -> Dataset:
    kept = files.cache_folder("decoded", _key(source, size, channels))
    if (about := _index(kept)) is None:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with alone(kept.parent):
                about = _index(kept) or _made(source, kept, size, channels)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise
            raise ReverieError(f"no decoded pictures can be kept in {kept.parent}: {error.strerror}. Make room there, "
                               "or say where with $REVERIE_CACHE") from None  # fmt: skip
    rows = Stored(kept / "rows", 0, np.dtype(np.uint8), (len(about.names), *about.shape), torch.uint8)
    skipped = [*source.listed.skipped, *(Skipped(name, reason) for name, reason in about.skipped)]
    return described(
        source.place, source.listed, source.said, about.names, rows[:].numpy() if fits(rows.numel()) else rows,
        skipped=skipped, sizes=about.sizes, changes=about.changes, notes=about.notes, doubts=about.doubts,
        modality="Images",
    )  # fmt: skip


def _made(source: Source, kept: Path, size: int | None, channels: int | None) -> Decoded:
    files.sweep(kept.parent)
    with files.staged(kept) as stage:
        about = _decode(source, stage, size, channels)
        (stage / "index.json").write_text(json.dumps(asdict(about)))
    return about


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time inside: of several that train together, one decodes, and the others find what it made."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key(source: Source, size: int | None, channels: int | None) -> str:
    """What tells apart all that could be decoded: where the files lie, their sizes and times, and the options."""
    from PIL import __version__

    digest = sha256(repr((FORMAT, __version__, size, channels)).encode())
    for path in source.files():
        try:
            about = os.stat(path)
        except OSError:
            continue  # a link to nothing is in the report
        digest.update(
            repr((os.path.abspath(path), about.st_size, about.st_mtime_ns)).encode("utf-8", "surrogateescape")
        )
    return digest.hexdigest()[:32]


def _index(kept: Path) -> Decoded | None:
    """What was found when it was decoded; None where it was not, or something is wrong with what is there."""
    try:
        about = Decoded(**files.read_json(kept / "index.json", limit=INDEX))
        whole = os.path.getsize(kept / "rows") == len(about.names) * int(np.prod(about.shape))
    except (ReverieError, TypeError, OSError):
        return None
    return about if whole else None


def _decode(source: Source, stage: Path, size: int | None, channels: int | None) -> Decoded:
    """Writes the levels (N, C, H, W) of all that can be used. The side depends on what can be: it is tried until it fits."""
    side = (
        size
        if size is not None
        else side_of([one for _, one in _each(source, _headed) if not isinstance(one, Unusable)], None)
    )
    for _ in range(ROUNDS):
        names: list[str] = []
        pictures: list[Picture] = []
        skipped: list[list[str]] = []
        coloured, tried = 0, side
        with open(stage / "rows", "wb") as file:
            for name, one in _each(source, partial(decoded, size=size, side=side)):
                if isinstance(one, Unusable):
                    skipped.append([name, str(one)])
                    continue
                assert one.levels is not None
                file.write(np.ascontiguousarray(np.broadcast_to(planes(one.levels, channels or 3),
                                                                (channels or 3, *one.levels.shape[:2]))).data)  # fmt: skip
                coloured += one.levels.ndim == 3
                names.append(name)
                pictures.append(one._replace(levels=None))
                shape = [channels or 3, *one.levels.shape[:2]]
        if not names:
            raise nothing_usable(source.place, [Skipped(*one) for one in skipped])
        side = side_of(pictures, size)
        if side == tried:
            break
    if channels is None and not coloured:
        _narrow(stage / "rows", len(names), shape)
    changes, doubts = changes_of(pictures, side)
    sizes = Counter(f"{one.width}x{one.height}" for one in pictures)
    return Decoded(names, shape, skipped, dict(sizes), dict(changes), notes_on(coloured, len(names), channels), doubts)


def decoded(place: Callable[[], BinaryIO], size: int | None, side: int | None) -> "Picture":
    """A picture as a folder that memory holds has it. Raises Unusable."""
    from .pictures import PIXELS, read

    picture = read(place, size, PIXELS if size else LARGEST**2)
    if picture.levels is None:
        picture = read(place, side or LARGEST)
    return fitted(picture, side) if side and not size else picture


def _headed(place: Callable[[], BinaryIO]) -> "Picture":
    from .pictures import read

    return read(place, most=0)


def _each(
    source: Source, read: Callable[[Callable[[], BinaryIO]], "Picture"]
) -> "Iterator[tuple[str, Picture | Unusable]]":
    """(name, picture, or why there is none) in order, read by threads, of which few are in memory."""

    def attempt(chunk: list[Contents]) -> "list[tuple[str, Picture | Unusable]]":
        found: list[tuple[str, Picture | Unusable]] = []
        for name, place in chunk:
            try:
                found.append((name, read(place)))
            except Unusable as reason:
                found.append((name, reason))
        return found

    contents = source.contents()
    chunks = iter(lambda: list(islice(contents, CHUNK)), [])
    done, told = 0, time.monotonic()
    with warnings.catch_warnings():  # of the picture library, about what the report says
        warnings.simplefilter("ignore")
        for found in ahead(attempt, chunks, min(8, os.cpu_count() or 1)):
            yield from found
            done += len(found)
            if time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                print(f"{done:,} of {len(source.listed.found):,} files were read, once for all", file=sys.stderr)


def _narrow(path: Path, count: int, shape: list[int]) -> None:
    """Keeps the first channel of rows (N, 3, H, W) that have three equal ones, and says so in the shape."""
    wide = Stored(path, 0, np.dtype(np.uint8), (count, *shape), torch.uint8)
    with open(path.with_name("narrow"), "wb") as file:
        for block in blocks(wide):
            file.write(np.ascontiguousarray(block[:, :1].numpy()).data)
    shutil.move(path.with_name("narrow"), path)
    shape[0] = 1
