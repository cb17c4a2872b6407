"""Records of samples and packages: healthy ones, how they are changed, what reads them."""

import contextlib
import io
import json
import tarfile
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

import torch
from hostile.changing import bytes_changed, json_changed
from hostile.data_formats import gzip_changed, png_changed, zip_changed
from hostile.format import written
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def record() -> dict:
    return {
        "format": 1, "made": "sample", "model": "digits", "description": "0" * 64,
        "weights": {"name": "average", "length": 0.1, "sha256": "0" * 64},
        "versions": {"reverie": "0.1.0", "torch": "2.13.0"}, "device": "cpu", "threads": 1, "seed": 0,
        "sampler": {"name": "Heun", "churn": 0.0, "interval": ["-inf", "inf"]},
        "grid": {"name": "Resampled", "grid": {"name": "Karras", "steps": 4}, "jump": 2, "repeats": 2}, "scale": 1.0,
        "dtype": "float32", "index": 1, "batch": {"size": 2, "place": 1}, "condition": {"label": 1}, "class": "1",
        "pixels": "0" * 64,
    }  # fmt: skip


def records(root: Path) -> list[bytes]:
    from reverie.modalities.grids import png

    plain = Image.new("L", (8, 8), 7)
    return [png(plain, {"reverie": record()}), json.dumps([{**record(), "file": "a.png"}]).encode()]


def record_changed(data: bytes, rng: Random) -> bytes:
    if not data.startswith(b"\x89PNG"):
        return json_changed(data, rng)
    if rng.random() < 0.3:
        return png_changed(data, rng)
    said, file = PngInfo(), io.BytesIO()
    said.add_itxt(
        "reverie", json_changed(json.dumps(record()).encode(), rng).decode(errors="replace"), zip=rng.random() < 0.5
    )
    Image.new("L", (8, 8), 7).save(file, "PNG", pnginfo=said)
    return file.getvalue()


def read_record(data: bytes, here: Path) -> None:
    from reverie.cli.info import of_file
    from reverie.systems.records import Record
    from reverie.systems.replaying import differences, listed, replay, said_by

    if data.startswith(b"\x89PNG"):
        path = written(here, "a.png", data)
        of_file(path)
        found = Record.read(said_by(path))
    else:
        found = Record.read(listed(written(here, "samples.json", data))[0])
    system = shipped_digits()
    found = replace(found, threads=1)  # as many as are busy here
    with contextlib.suppress(ValueError, TypeError, ArithmeticError, RuntimeError):  # for `replay` to make an error of
        if len(found.grid(system.denoiser.schedule)) * found.size > 60:
            return
    if found.size <= 4:
        differences(found, system)
        replay(torch.zeros(1, 8, 8, dtype=torch.uint8), found, system)


@cache
def shipped_digits():  # type: ignore[no-untyped-def]
    import reverie

    return reverie.load("digits")


def packages(root: Path) -> list[bytes]:
    zipped, found = io.BytesIO(), []
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/wanted", b"x" * 500)
        archive.writestr("other", b"y")
    for mode in ("w", "w:gz", "w:xz", "w:bz2"):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode=mode, format=tarfile.PAX_FORMAT) as opened:  # type: ignore[call-overload]
            for name, data in (("a/wanted", b"x" * 500), ("é" * 80, b"y"), ("a" * 150, b"")):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                opened.addfile(entry, io.BytesIO(data))
        found.append(file.getvalue())
    deb = b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(d):<10}`\n".encode() + d + b"\n" * (len(d) % 2)
        for name, d in (("debian-binary", b"2.0\n"), ("control.tar.xz", found[2]), ("data.tar.xz", found[2]))
    )
    return [zipped.getvalue(), *found, deb]


def package_changed(data: bytes, rng: Random) -> bytes:
    """What is packed changed, and packed again."""
    if data.startswith(b"PK"):
        return zip_changed(data, rng)
    if data.startswith(b"\x1f\x8b"):
        return gzip_changed(data, rng)
    if data[257:262] == b"ustar":  # a header changed, with its sum put right
        found = bytearray(data)
        at = 512 * rng.randrange(max(len(data) // 512, 1))
        found[at : at + 512] = bytes_changed(bytes(found[at : at + 512]), rng)[:512].ljust(512, b"\0")
        found[at + 148 : at + 156] = b" " * 8
        found[at + 148 : at + 156] = b"%06o\0 " % sum(found[at : at + 512])
        return bytes(found)
    return bytes_changed(data, rng)


def read_package(data: bytes, here: Path) -> None:
    from reverie.data.unpack import unpack

    unpack(written(here, "archive", data), {"a/wanted": "out"}, here / "stage")
