"""The files of data: healthy ones, how they are changed with sums that are right, what reads them."""

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
from hostile.changing import bytes_changed, json_changed
from hostile.format import written
from PIL import Image


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def npy_changed(data: bytes, rng: Random) -> bytes:
    """Another shape, type or order in a header of the same length."""
    head, rest = data[:128].rstrip(b"\n "), data[128:]
    sizes = ", ".join(str(rng.choice((0, 1, 2, 3, 8, 24, -1, 10**6, 10**12))) for _ in range(rng.randrange(6)))
    kind = rng.choice(
        ("<f4", ">f8", "|O", "<U4", "<U0", "|S3", "<c8", "<M8[s]", "|b1", "<i8", "<u2", "f4,f4", "<f2", "<f16")
    )
    shape, order = f"({sizes}{',' if rng.random() < 0.8 else ''})", rng.choice((True, False, 0))
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}"
    return head[:10] + text.encode()[:117].ljust(117) + b"\n" + rest


def zip_changed(data: bytes, rng: Random) -> bytes:
    """A member changed and packed again, so that its checksum is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(one, archive.read(one)) for one in archive.infolist()]
    at, file = rng.randrange(len(members)), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i, (about, content) in enumerate(members):
            if i == at:
                content = rng.choice((bytes_changed, npy_changed))(content, rng)
            name = (
                rng.choice(("../x.npy", "y.npy", "label.npy", "classes.npy", "x", "/x.npy"))
                if rng.random() < 0.05
                else about.filename
            )
            entry = zipfile.ZipInfo(name)
            entry.compress_type = rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            with warnings_off():
                archive.writestr(entry, content)
    return file.getvalue()


def warnings_off():  # type: ignore[no-untyped-def]
    import warnings

    return warnings.catch_warnings(action="ignore")


def read_array(ending: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, here: Path) -> None:
        from reverie.data.arrays import load_arrays
        from reverie.data.check import Check

        Check(load_arrays(written(here, f"a{ending}", data))).lines()

    return read


def tiffs(root: Path) -> list[bytes]:
    import tifffile

    found = []
    for array, options in (
        (numbers(9, 11), {}),
        ((numbers(3, 9, 11) * 1000).astype("uint16"), {"compression": "zlib", "predictor": True}),
        (numbers(16, 16, 2), {"tile": (16, 16), "compression": "zlib"}),
        ((numbers(2, 9, 11) * 1000).astype("int16"), {"imagej": True}),
        ((numbers(9, 11) * 9).astype("uint8"), {"bigtiff": True, "byteorder": ">"}),
        (numbers(2, 9, 11).astype("uint16"), {"ome": True}),
    ):
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)  # type: ignore[arg-type]
        found.append(file.getvalue())
    return found


def read_tiff(data: bytes, here: Path) -> None:
    from reverie.data.fields import kind_of, load_fields

    path = written(here, "a.tif", data)
    kind_of(path.parent)
    load_fields(path.parent)


def pictures(root: Path) -> list[bytes]:
    found, rng = [], np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (12, 9, 3), np.uint8))
    for mode, kind, options in (
        ("RGB", "PNG", {}), ("RGBA", "PNG", {}), ("P", "PNG", {}), ("I;16", "PNG", {}), ("RGB", "JPEG", {}),
        ("CMYK", "JPEG", {}), ("L", "JPEG", {"progressive": True}), ("P", "GIF", {}), ("RGB", "BMP", {}), ("RGB", "WEBP", {}),
        ("RGBA", "WEBP", {"lossless": True}), ("RGB", "TIFF", {"compression": "tiff_deflate"}),
        ("1", "TIFF", {"compression": "group4"}),
    ):  # fmt: skip
        file = io.BytesIO()
        picture = (
            Image.fromarray(rng.integers(0, 2**16, (12, 9), np.uint16)) if mode == "I;16" else colour.convert(mode)
        )
        picture.save(file, kind, **options)
        found.append(file.getvalue())
    return found


def png_changed(data: bytes, rng: Random) -> bytes:
    """A chunk of a PNG changed, dropped, doubled, or its contents packed again, with checksums that are right."""
    if not data.startswith(b"\x89PNG"):
        return bytes_changed(data, rng)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = struct.unpack(">I", data[at : at + 4])[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    i = rng.randrange(len(chunks))
    kind, inside = chunks[i]
    if (what := rng.random()) < 0.1:
        chunks.pop(i)
    elif what < 0.2:
        chunks.insert(rng.randrange(len(chunks)), chunks[i])
    elif what < 0.35:
        kind = rng.choice((b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"tRNS", b"iCCP"))
        said = rng.choice((b"x\0", b"reverie\0", b"x\0\0")) + rng.randbytes(rng.randrange(40))
        chunks.insert(rng.randrange(len(chunks)), (kind, said))
    elif kind == b"IDAT" and what < 0.7:
        chunks[i] = kind, zlib.compress(bytes_changed(zlib.decompress(inside), rng))
    else:
        chunks[i] = kind, bytes_changed(inside, rng)
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return data[:8] + b"".join(packed)


def read_picture(data: bytes, here: Path) -> None:
    from reverie.data.check import Check
    from reverie.data.folders import load_folder

    path = written(here, "a.png", data)
    Check(load_folder(path.parent)).lines()
    load_folder(path.parent, size=8)


IDX = struct.pack(">HBBIII", 0, 8, 3, 5, 4, 4) + bytes(range(80))


def read_idx(data: bytes, here: Path) -> None:
    from reverie.data.idx import read_idx

    read_idx(written(here, "a.gz", data), (5, 4, 4))


def gzip_changed(data: bytes, rng: Random) -> bytes:
    return gzip.compress(bytes_changed(gzip.decompress(data), rng))


LINES = (
    {"file_name": "a.png", "text": "a cat", "label": 1, "hue": 0.5, "size": 3},
    {"file_name": "b/b.png", "caption": "a dog", "label": "dog", "hue": None},
)


def read_table(data: bytes, here: Path) -> None:
    from reverie.data.check import Check
    from reverie.data.folders import load_folder

    path = written(here, "metadata.jsonl", data)
    (here / "b").mkdir()
    Image.new("L", (8, 8), 1).save(here / "a.png")
    Image.new("L", (8, 8), 2).save(here / "b" / "b.png")
    (here / "b" / "b.txt").write_bytes(data[:60])
    found = Check(load_folder(path.parent))
    found.lines()
    json.dumps(found.as_dict(), ensure_ascii=False).encode()


def lines_changed(data: bytes, rng: Random) -> bytes:
    lines = data.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json_changed(lines[at], rng)
    return b"\n".join(lines)
