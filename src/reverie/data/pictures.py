"""One picture file, from bytes that may be anything to levels that are right."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
PIXELS = 2**26
"""The largest picture that is decoded: what claims to be larger is a mistake, or a bomb."""
TOO_LARGE = f"more than {PIXELS // 10**6} million pixels"
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation. Exif 2.32, 4.6.4, https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf"""


class Unusable(Exception):
    """Why a picture is skipped, in a few words that many files share."""


class Header(NamedTuple):
    """The size of a picture as it will be seen, in pixels."""

    width: int
    height: int


def header(path: Path) -> Header:
    """The size that a file claims, upright, without decoding it. Raises Unusable."""
    with _opened(path) as picture:
        width, height = picture.size
        sideways = picture.format != "TIFF" and _orientation(picture) >= 5  # TIFF is turned by its own reader
        return Header(height, width) if sideways else Header(width, height)


def decode(path: Path, size: int | None) -> np.ndarray:
    """The first frame as uint8 (H, W) where the file is grey or (H, W, 3), upright, over white. Raises Unusable.

    With a `size` the shorter side becomes that long, with antialiasing, and the longer is cut to it around its middle.
    """
    with _opened(path) as picture:
        try:
            if size and min(picture.size) >= 4 * size:
                picture.draft(None, (2 * size, 2 * size))  # JPEG alone: decoded at a fraction, no smaller than this
            picture.load()
            upright = _flat(picture)
            if (turn := UPRIGHT.get(_orientation(picture))) is not None:
                upright = upright.transpose(turn)
        except Unusable:
            raise
        except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
            raise Unusable("cut short or damaged") from error
    return np.asarray(ImageOps.fit(upright, (size, size), Image.Resampling.LANCZOS) if size else upright)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A picture whose header was read, from an open file: given a name, the library maps some TIFFs wrongly turned."""
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise Unusable("not a regular file")
        if not about.st_size:
            raise Unusable("empty")
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise Unusable("a link to nothing") from None
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from None
    with file:
        try:
            picture = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            raise Unusable("not a picture") from None
        except Image.DecompressionBombError:
            raise Unusable(TOO_LARGE) from None
        except Exception as error:  # see decode
            raise Unusable("cut short or damaged") from error
        if picture.width * picture.height > PIXELS:
            raise Unusable(TOO_LARGE)
        yield picture


def _orientation(picture: Image.Image) -> int:
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
        return orientation if orientation in UPRIGHT else 1
    except Exception:  # a picture is not lost because what is said about it is damaged
        return 1


def _flat(picture: Image.Image) -> Image.Image:
    """Any mode as L or RGB: opacity over white, 16-bit grey divided by 257."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise Unusable("more than 16 bits a pixel: save it as a .npy array")
        return Image.fromarray(np.round(levels / 257).astype(np.uint8))
    if picture.mode == "F":
        raise Unusable("floating-point pixels: save it as a .npy array")
    if picture.has_transparency_data:
        paper = Image.new("RGBA", picture.size, "white")
        flat = Image.alpha_composite(paper, picture.convert("RGBA"))
        return flat.convert("L" if picture.mode in ("L", "LA", "La", "1") else "RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
