"""Archives give their plain files and nothing else, and nothing lands outside the folder."""

import io
import lzma
import stat
import tarfile
import zipfile

import pytest

from reverie.data.unpack import unpack
from reverie.errors import ReverieError

WANTED = {"data/a.txt": "a.txt", "data/b.txt": "below/b.txt"}


def tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.name = name
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return path


def zipped(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def debian(path, members):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", lzma.compress(data.getvalue()))]
    heads = [f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(part):<10}`\n".encode() for name, part in parts]
    bodies = [part + b"\n" * (len(part) % 2) for _, part in parts]
    path.write_bytes(b"!<arch>\n" + b"".join(h + b for h, b in zip(heads, bodies, strict=True)))
    return path


def made(tmp_path):
    return sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


GOOD = [("data/a.txt", b"one"), ("data/b.txt", b"two" * 5000), ("data/c.txt", b"not asked for")]


@pytest.mark.parametrize("make", [tar, zipped, debian, lambda p, m: tar(p, m, "w:xz"), lambda p, m: tar(p, m, "w")])
def test_wanted_files_come_out_under_their_new_names(tmp_path, out, make):
    unpack(make(tmp_path / "archive", GOOD), WANTED, out)
    assert made(tmp_path) == ["a.txt", "below/b.txt"]
    assert (out / "a.txt").read_bytes() == b"one" and (out / "below/b.txt").read_bytes() == b"two" * 5000


def test_debian_names_start_with_a_dot(tmp_path, out):
    unpack(debian(tmp_path / "archive", [(f"./{name}", content) for name, content in GOOD]), WANTED, out)
    assert made(tmp_path) == ["a.txt", "below/b.txt"]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "data/../../x", "..\\x", "C:\\x", "C:/x"])
@pytest.mark.parametrize("make", [tar, zipped])
def test_names_that_leave_the_folder_are_refused(tmp_path, out, make, name):
    with pytest.raises(ReverieError, match="outside its folder"):
        unpack(make(tmp_path / "archive", [(name, b"x"), *GOOD]), WANTED, out)
    assert made(tmp_path) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused_in_tar(tmp_path, out, kind):
    link = tarfile.TarInfo()
    link.type, link.linkname = kind, "/etc/passwd"
    with pytest.raises(ReverieError, match="not a plain file"):
        unpack(tar(tmp_path / "archive", [("data/a.txt", link), *GOOD]), WANTED, out)
    assert made(tmp_path) == []


def test_links_are_refused_in_zip(tmp_path, out):
    link = zipfile.ZipInfo("data/a.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ReverieError, match="not a plain file"):
        unpack(zipped(tmp_path / "archive", [(link, b"/etc/passwd")]), WANTED, out)


@pytest.mark.parametrize("make", [tar, zipped])
def test_more_bytes_than_allowed_are_refused(tmp_path, out, make):
    bomb = [("data/a.txt", b"\0" * 10**6), ("data/b.txt", b"")]
    with pytest.raises(ReverieError, match="more than 1000 bytes"):
        unpack(make(tmp_path / "archive", bomb), WANTED, out, limit=1000)


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path, out):
    path = zipped(tmp_path / "archive", [("data/a.txt", b"x" * 5000), ("data/b.txt", b"y")])
    lie = path.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    path.write_bytes(lie)
    with pytest.raises(ReverieError, match="damaged"):
        unpack(path, WANTED, out)


def test_a_name_that_stands_twice_is_refused(tmp_path, out):
    with pytest.raises(ReverieError, match="twice"):
        unpack(tar(tmp_path / "archive", [*GOOD[:1], *GOOD]), WANTED, out)


def test_what_is_not_there_is_named(tmp_path, out):
    with pytest.raises(ReverieError, match=r"lacks data/b\.txt"):
        unpack(tar(tmp_path / "archive", GOOD[:1]), WANTED, out)


@pytest.mark.parametrize("make", [tar, zipped, debian])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.7])
def test_archives_that_are_cut_short_are_refused(tmp_path, out, make, part):
    path = make(tmp_path / "archive", GOOD)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ReverieError, match=r"damaged|lacks|not a Debian package"):
        unpack(path, WANTED, out)
