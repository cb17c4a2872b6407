"""Data: pictures, arrays, what is said about them."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hostile.making import MIB, Case, archive, chunked, claiming_png, numbers, pickled, placed, sparse


def claiming(kind: str, width: int, height: int) -> bytes:
    """A small picture whose header says another size."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("L" if kind != "WEBP" else "RGB", (16, 16)).save(file, kind)
    data = bytearray(file.getvalue())
    if kind == "JPEG":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
    elif kind == "GIF":
        data[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff(shape: tuple[int, ...], dtype: str = "float32", **options: object) -> bytes:
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, np.broadcast_to(np.zeros((), dtype), shape), **options)  # type: ignore[arg-type]
    return file.getvalue()


def claiming_tiff(width: int, height: int) -> bytes:
    data = bytearray(tiff((16, 16)))
    for tag, value in ((256, width), (257, height)):
        at = data.index(struct.pack("<H", tag), 8)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    return bytes(data)


def elsewhere(here: Path) -> None:
    """A TIFF that says its second plane lies in another file, outside the folder."""
    import tifffile

    (here / "data").mkdir()
    tifffile.imwrite(here / "secret.ome.tif", np.full((2, 16, 16), 777, "uint16"), metadata={"axes": "CYX"})
    with tifffile.TiffFile(here / "secret.ome.tif") as file:
        said = file.ome_metadata.replace("secret.ome.tif", "../secret.ome.tif")  # type: ignore[union-attr]
    tifffile.imwrite(here / "data" / "a.tif", np.zeros((16, 16), "uint16"), description=said.encode(), metadata=None)


def folder(name: str, says: str, ending: str, content: Callable[[], bytes], kind: str = "picture") -> Case:
    return Case(kind, name, placed(f"data/a{ending}", content), ("data", "check", "data"), says)


def array(name: str, says: str, content: Callable[[], bytes], ending: str = ".npy") -> Case:
    return Case(ending[1:], name, placed(f"a{ending}", content), ("data", "check", f"a{ending}"), says)


def header(text: str, data: bytes = b"") -> bytes:
    body = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(body)) + body + data


def stating(shape: str, descr: str = "<f4", data: bytes = b"") -> bytes:
    return header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}", data)


PICTURES = [
    folder("a PNG of sixty thousand squared", "million pixels", ".png", lambda: claiming_png(60_000, 60_000)),
    folder(
        "a PNG of two thousand million squared",
        "million pixels|damaged",
        ".png",
        lambda: claiming_png(2**31 - 1, 2**31 - 1),
    ),
    folder("a JPEG of 65535 squared", "million pixels", ".jpg", lambda: claiming("JPEG", 65535, 65535)),
    folder("a GIF of 65535 squared", "million pixels", ".gif", lambda: claiming("GIF", 65535, 65535)),
    folder("a BMP of a million squared", "million pixels|damaged", ".bmp", lambda: claiming("BMP", 10**6, 10**6)),
    folder("a PNG whose text is a bomb", "damaged", ".png", lambda: chunked(x=b"\0" * 2**26)),
    folder("a pickle named .png", "not a picture", ".png", pickled),
    folder("a script named .jpg", "not a picture", ".jpg", lambda: b"#!/bin/sh\ntrue"),
    Case(
        "picture",
        "a pipe named .png",
        lambda here: [(here / "data").mkdir(), os.mkfifo(here / "data" / "a.png")],
        ("data", "check", "data"),
        "not a regular file",
    ),
    Case(
        "picture",
        "a link to /dev/zero",
        lambda here: [(here / "data").mkdir(), (here / "data" / "a.png").symlink_to("/dev/zero")],
        ("data", "check", "data"),
        "not a regular file",
    ),
    folder(
        "a TIFF of a million squared",
        "states more than|million pixels",
        ".tif",
        lambda: claiming_tiff(10**6, 10**6),
        "tiff",
    ),
    folder(
        "a TIFF of two gigabytes",
        "states more than|million pixels",
        ".tif",
        lambda: claiming_tiff(22_000, 22_000),
        "tiff",
    ),
    folder(
        "a TIFF that unpacks a thousandfold",
        "times its size",
        ".tif",
        lambda: tiff((4200, 4200), compression="zlib"),
        "tiff",
    ),
    folder(
        "a TIFF of ten thousand pages",
        "more than 4096 pages|floating-point",
        ".tif",
        lambda: tiff((5000, 1, 1), photometric="minisblack", metadata=None),
        "tiff",
    ),
    folder(
        "a TIFF of complex numbers",
        "no picture of real numbers|damaged",
        ".tif",
        lambda: tiff((16, 16), "complex64"),
        "tiff",
    ),
    folder("a TIFF that is a pickle", "not a .npy or TIFF|not a picture", ".tif", pickled, "tiff"),
]

ARRAYS = [
    array("an array of a million million", "at most 16|damaged", lambda: stating("(1000000000000,)")),
    array("entries of nothing", "entries of nothing", lambda: stating("(1000000000000, 0)")),
    array("text of no letters", "entries of nothing", lambda: stating("(1000000000000,)", "<U0")),
    array("negative sizes", "damaged", lambda: stating("(-1, -4)", data=b"\0" * 16)),
    array("code in the header", "damaged", lambda: header("__import__('os').system('true')")),
    array("brackets in the header", "damaged", lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + b"(" * 9000),
    array(
        "signs in the header", "damaged", lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + b"-" * 8999 + b"1"
    ),
    array("a header of four gigabytes", "damaged", lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
    array("a type of a million fields", "damaged|neither", lambda: stating("(1,)", "<f4,<f4")),
    array("a type of huge text", "at most 16|damaged", lambda: stating("(1000000,)", "<U1000000000")),
    array("not a number", "not finite", lambda: numbers(np.full((4, 1, 8), np.nan))),
    Case(
        "npy",
        "a terabyte of nothing",
        lambda here: sparse(here / "a.npy", 2**40, stating("(274877906912,)")),
        ("data", "check", "a.npy"),
        "at most 16|damaged",
    ),
    Case("npy", "a pipe", lambda here: os.mkfifo(here / "a.npy"), ("data", "check", "a.npy"), "can be read"),
    array(
        "an array that unpacks a thousandfold",
        "bomb",
        lambda: archive(x__npy=stating("(4, 1, 20000000)", data=bytes(320_000_000))),
        ".npz",
    ),
    array(
        "a thousand and one arrays",
        "bomb",
        lambda: archive(**{f"a{i}__npy": numbers(np.zeros(1)) for i in range(1001)}),
        ".npz",
    ),
    array(
        "a zip within a zip", "not a .npy file", lambda: archive(x__npy=archive(x__npy=numbers(np.zeros(1)))), ".npz"
    ),
    array("a name by ../", "holds no array", lambda: archive(**{"../../x__npy": numbers(np.zeros(3))}), ".npz"),
    array(
        "two of one name",
        "stands in it twice",
        lambda: archive(x=numbers(np.zeros((3, 1, 4))), x__npy=numbers(np.zeros((3, 1, 4)))),
        ".npz",
    ),
    Case("npz", "a pipe", lambda here: os.mkfifo(here / "a.npz"), ("data", "check", "a.npz"), "can be read"),
]


def table(name: str, says: str, content: bytes | Callable[[Path], object]) -> Case:
    """A metadata.jsonl beside one good picture, whose faults `--strict` refuses."""

    def make(here: Path) -> None:
        from PIL import Image

        (here / "data").mkdir()
        Image.new("L", (16, 16), 9).save(here / "data" / "a.png")
        path = here / "data" / "metadata.jsonl"
        content(path) if callable(content) else path.write_bytes(content)

    return Case("metadata.jsonl", name, make, ("data", "check", "data", "--strict"), says)


TABLES = [
    table("a file by ../", "outside the folder", b'{"file_name": "../../etc/passwd", "text": "x"}'),
    table("an absolute file", "outside the folder", b'{"file_name": "/etc/passwd", "text": "x"}'),
    table("a file on another drive", "outside the folder", b'{"file_name": "C:\\\\x.png", "text": "x"}'),
    table("nested deep", "not JSON", b'{"file_name": "a.png", "x": ' + b"[" * 10**5),
    table("a number beyond number", "not finite", b'{"file_name": "a.png", "x": 1' + b"0" * 400 + b"}"),
    table("a number of a million digits", "not JSON", b'{"file_name": "a.png", "x": ' + b"9" * 10**6 + b"}"),
    table("two million lines of nothing", "lines cannot be used", b"x\n" * (2 * 10**6)),
    table("a gigabyte", "larger than", lambda path: sparse(path, 2**30)),
    table("a line of thirty megabytes", "longer than", b'{"file_name": "' + b"a" * (30 * MIB) + b'"}'),
    table("a link to /etc/passwd", "outside the folder", lambda path: path.symlink_to("/etc/passwd")),
    table("a link to /dev/zero", "outside the folder", lambda path: path.symlink_to("/dev/zero")),
    table("a pipe", "not a regular file", os.mkfifo),
]
