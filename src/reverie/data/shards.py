"""Tar archives of samples, as webdataset has them: members of one key are a sample, `cat/0007.jpg`, `cat/0007.txt`, ...

Nothing is unpacked: an index says where each member's bytes lie. https://github.com/webdataset/webdataset
"""

import io
import os
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..errors import ReverieError
from . import captions
from .base import Skipped
from .captions import Said
from .listing import PICTURES, Listing
from .opening import Unusable
from .sources import Source

MEMBER = 2**28
"""Bytes of the largest member that is read."""
HEADER = 2**20
"""Bytes of the longest name: what claims more would fill memory before there is a member."""
BLOCK = 512
CLASS = 2**10
BESIDE = (".txt", ".cls", ".json")
CUT = "an archive cut short or damaged; what comes before is used"


class Member(NamedTuple):
    archive: Path
    key: str
    """What all members of a sample share: the archive, and the name up to its first dot."""
    start: int
    size: int

    def open(self) -> BinaryIO:
        return io.BytesIO(self.read(MEMBER))

    def read(self, most: int) -> bytes:
        """All of it. Raises Unusable where it is empty, longer than `most`, or not all there."""
        if not self.size:
            raise Unusable("empty")
        if self.size > most:
            raise Unusable(f"larger than {most // 2**20} MiB" if most >= 2**20 else f"longer than {most} bytes")
        try:
            with open(self.archive, "rb", buffering=0) as file:
                content = os.pread(file.fileno(), self.size, self.start)
        except OSError as error:
            raise Unusable(f"cannot be read: {error.strerror}") from None
        if len(content) < self.size:
            raise Unusable("cut short or damaged")
        return content


class Shards(Source):
    """The members of archives, sorted by archive and name; a name says the archive too: cat/shard-0:0007.jpg.

    The class is in .cls or the "label" of .json, else the first folder inside the archives; the caption in .txt or the
    "text" or "caption" of .json, whose other numbers are scalars. Raises ReverieError where a file is no plain tar.
    """

    def __init__(self, place: Path, archives: Sequence[Path]) -> None:
        self.place, self.archives = place, list(archives)
        if len({one.stem for one in archives}) < len(archives):
            raise ReverieError(f"two archives of {place} have one name: samples are told apart by it")
        self.members: dict[str, Member] = {}
        skipped: list[Skipped] = []
        for archive in self.archives:
            found = dict(self._members(archive, skipped))
            self.members |= {_named(archive, name): found[name] for name in sorted(found)}
        self.listed = Listing(list(self.members), sorted(skipped, key=lambda one: one.name), 0)
        self.said = self._said()

    def contents(self):
        for name, member in self.members.items():
            if name not in self.said.files:
                yield name, member.open

    def files(self):
        return self.archives

    def _members(self, archive: Path, skipped: list[Skipped]) -> Iterator[tuple[str, Member]]:
        seen: set[str] = set()
        with _opened(archive) as file:
            try:
                with tarfile.open(fileobj=file, mode="r:") as tar:
                    while (one := tar.next()) is not None:
                        tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                        if one.size < 0 or tar.offset <= one.offset_data - BLOCK:
                            raise tarfile.ReadError("sizes that lead backwards")
                        name, start = posixpath.normpath(one.name), one.offset_data
                        if one.isdir() or any(part.startswith(".") for part in name.split("/") if part != ".."):
                            continue
                        if fault := _fault(one, name, seen):
                            skipped.append(Skipped(_named(archive, name), fault))
                            continue
                        seen.add(name)
                        yield name, Member(archive, _key(archive, name), start, one.size)
                    if os.pread(file.fileno(), BLOCK, tar.offset) != bytes(BLOCK):
                        skipped.append(Skipped(archive.name, CUT))
            except Exception:  # a damaged header is stumbled over in as many ways as there are mistakes
                if not seen:
                    raise ReverieError(f"{archive} is not a tar archive, or is damaged") from None
                skipped.append(Skipped(archive.name, CUT))

    def _said(self) -> Said:
        """What members say of the pictures that have the same key: their names up to the first dot."""
        said = Said()
        owners: dict[str, list[str]] = {}
        for name, member in self.members.items():
            if name.lower().endswith(PICTURES):
                owners.setdefault(member.key, []).append(name)
        beside = {name: member for name, member in self.members.items() if name.lower().endswith(BESIDE)}
        for name, member in beside.items():
            if member.key not in owners:
                continue
            said.files.add(name)
            try:
                _tell(said, owners[member.key], member, name.lower().rpartition(".")[2])
            except Unusable as reason:
                said.faults.append(Skipped(name, str(reason)))
        return said


def _tell(said: Said, owners: Sequence[str], member: Member, kind: str) -> None:
    """Takes over what a member says of its owners. Raises Unusable."""
    if kind == "json":
        entry = captions.entry_of(member.read(captions.LINE))
        entry.pop("file_name", None)
        for owner in owners:
            captions.take_columns(dict(entry), owner, said)
        return
    text, encoding = captions.caption_of(member.read(captions.TEXT if kind == "txt" else CLASS))
    said.encodings[encoding] += kind == "txt"
    for owner in owners:
        (said.captions if kind == "txt" else said.labels)[owner] = text


def _fault(one: tarfile.TarInfo, name: str, seen: set[str]) -> str:
    """Why an entry of an archive is no sample; empty where it may be one."""
    if one.issym() or one.islnk():
        return "a link"
    if not one.isreg() or one.issparse():
        return "not a regular file"
    if name.startswith(("/", "..")) or "\0" in name:
        return "a name that leads outside the archive"
    return "a name that stands in the archive twice" if name in seen else ""


def _named(archive: Path, name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(folder.lstrip("/"), f"{archive.stem}:{base}")


def _key(archive: Path, name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(str(archive), folder, base.split(".")[0])


class Bounded(io.FileIO):
    """A file of which no more than a header's worth is read at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= HEADER:
            raise tarfile.ReadError("a header that is larger than any is")
        return super().read(size)


def _opened(archive: Path) -> Bounded:
    try:
        file = Bounded(archive)
    except OSError as error:
        raise ReverieError(f"{archive} cannot be read: {error.strerror}") from None
    start = os.pread(file.fileno(), 6, 0)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        file.close()
        raise ReverieError(f"{archive} is compressed, so no sample in it can be read alone: unpack it to a plain .tar")
    return file
