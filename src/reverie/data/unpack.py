"""Named members out of an archive that may be hostile: zip and wheel, tar, Debian package."""

import errno
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from ..errors import ReverieError, printable

LIMIT = 2 * 2**30
"""Bytes that may come out of one archive."""
ENTRIES = 200_000
BLOCK = 2**20
NAMES = 2**20
"""Bytes that say what one entry of a tar is called."""
TALK = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


class Short(tarfile.TarInfo):
    """An entry whose name and attributes fit in memory, whatever its header says of their length."""

    def _proc_member(self, tarfile_):  # type: ignore[no-untyped-def]
        if self.type in TALK and self.size > NAMES:
            raise tarfile.ReadError(f"an entry with {self.size} bytes of names")
        return super()._proc_member(tarfile_)  # type: ignore[misc]


class Entry(NamedTuple):
    name: str
    size: int
    plain: bool
    content: Callable[[], Any]


def unpack(archive: Path, members: Mapping[str, str], folder: Path, limit: int = LIMIT) -> None:
    """Writes each member, by its name in the archive, under the name it is mapped to, a plain file below `folder`.

    The whole archive is refused, with a ReverieError, where any entry has an absolute name or one that climbs, where a
    wanted one is a link, a device, missing or there twice, or where more than `limit` bytes would come out.
    """
    wanted, left = dict(members), limit
    try:
        for name, size, plain, content in _entries(archive):
            clean = _checked(archive, name)
            if clean not in members:
                continue
            if clean not in wanted:
                raise ReverieError(f"{archive.name} is refused: {name!r} stands in it twice")
            if not plain:
                raise ReverieError(f"{archive.name} is refused: {name!r} is not a plain file")
            if size > left:
                raise ReverieError(f"{archive.name} is refused: more than {limit} bytes would come out of it")
            target = folder / wanted.pop(clean)
            target.parent.mkdir(parents=True, exist_ok=True)
            left -= _copy(archive, content(), target, size)
    except ReverieError:
        raise
    except Exception as error:  # what unpacks raises whatever a damaged archive makes it stumble over
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ReverieError(f"{archive.name} is damaged: {printable(str(error)[:200])}") from None
    if wanted:
        raise ReverieError(f"{archive.name} lacks {', '.join(sorted(wanted))}")


def _copy(archive: Path, content: IO[bytes], target: Path, size: int) -> int:
    written = 0
    with open(target, "xb") as file:
        while block := content.read(BLOCK):
            written += len(block)
            if written > size:
                break
            file.write(block)
    if written != size:
        raise ReverieError(f"{archive.name} is damaged: {target.name} is not as long as its header states")
    return written


def _checked(archive: Path, name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]) or "\0" in name:
        raise ReverieError(f"{archive.name} is refused: it would write to {name!r}, outside its folder")
    return str(path)


def _entries(archive: Path) -> Iterator[Entry]:
    """Every entry, each to be opened before the next is asked for."""
    with open(archive, "rb") as file:
        start = file.read(8)
    if start[:4] == b"PK\3\4":
        yield from _zip(archive)
    elif start == b"!<arch>\n":
        with _debian(archive) as data:
            yield from _tar(archive, data)
    else:
        with open(archive, "rb") as file:
            yield from _tar(archive, file)


def _zip(archive: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as opened:
        entries = opened.infolist()
        _bounded(archive, len(entries))
        for one in entries:
            kind = stat.S_IFMT(one.external_attr >> 16)
            plain = not one.is_dir() and kind in (0, stat.S_IFREG) and not one.flag_bits & 1
            yield Entry(one.filename, one.file_size, plain, partial(opened.open, one))


def _tar(archive: Path, file: IO[bytes]) -> Iterator[Entry]:
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=Short) as opened:
        whole = 0
        for count, one in enumerate(opened):
            _bounded(archive, count)
            whole += max(one.size, 0)
            if whole > LIMIT:
                raise ReverieError(f"{archive.name} is refused: more than {LIMIT} bytes are in it")
            plain = one.isreg() and not one.issparse()
            yield Entry(one.name, one.size, plain, partial(opened.extractfile, one))


def _bounded(archive: Path, count: int) -> None:
    if count > ENTRIES:
        raise ReverieError(f"{archive.name} is refused: it has more than {ENTRIES} entries")


@contextmanager
def _debian(archive: Path) -> Iterator[IO[bytes]]:
    """The data of a Debian package, an `ar` archive of three files: no other tool is needed. See deb(5) and ar(5)."""
    with open(archive, "rb") as file:
        file.seek(8)
        while len(head := file.read(60)) == 60:
            name, size = head[:16].decode("ascii", "replace").strip().rstrip("/"), head[48:58].strip()
            if not size.isdigit() or head[58:] != b"`\n":
                break
            if name in ("data.tar.xz", "data.tar.gz", "data.tar"):
                yield file
                return
            file.seek(int(size) + int(size) % 2, io.SEEK_CUR)
    raise ReverieError(f"{archive.name} is not a Debian package that can be read: it has no data.tar.xz")
