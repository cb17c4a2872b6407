"""One picture file, from bytes that may be anything to levels that are right.

What is done to a picture, in this order, and never anything else:

1. Of a file with several frames or pages, the first is taken.
2. 16-bit grey x becomes round(x / 257), so that 65535 is 255; 16-bit colour keeps the upper 8 bits of each channel.
3. CMYK becomes R = (255 - C)(255 - K) / 255, G and B likewise; colour profiles are not applied.
4. Opacity, of a palette too, is composited over white: round(x a + 255 (1 - a)).
5. The picture is turned upright, as its EXIF orientation says.
6. With a size: the longer side is cut to the length of the shorter around the middle, and the square is resized with
   Lanczos's kernel and antialiasing. The ratio of the sides never changes.
7. Equal channels become one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .opening import Place, Unusable, opened

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
STARTS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
PIXELS = 2**26
"""The largest picture that is decoded: what claims to be larger is a mistake, or a bomb."""
TOO_LARGE = f"more than {PIXELS // 10**6} million pixels"
DAMAGED = "cut short or damaged"
ORIENTATION = 0x0112
TELLING = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Where a file that is no TIFF may say how it is turned."""
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
FRAME, SIXTEEN, CMYK, PALETTE, OPACITY, TURNED = (
    "first of several frames or pages",
    "16 bits a channel to 8",
    "CMYK to RGB",
    "palette to colours",
    "opacity over white",
    "turned upright",
)
LOSSY = (FRAME, SIXTEEN)
"""The changes that leave something out, which `--strict` refuses."""


class Picture(NamedTuple):
    """The size in pixels as it was seen, what was done, and uint8 (H, W) or (H, W, 3) levels, None where not decoded."""

    width: int
    height: int
    changes: tuple[str, ...] = ()
    levels: np.ndarray | None = None


def read(path: Place, size: int | None = None, most: int = PIXELS) -> Picture:
    """The picture in a file, in squares of side `size` where that is given. Raises Unusable.

    A picture of more than `most` pixels is not decoded, and its size is that of the file, not yet upright.
    """
    with _headed(path) as picture:
        if picture.width * picture.height > most:
            return Picture(*picture.size)
        try:
            return _decoded(picture, size)
        except Unusable:
            raise
        except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
            raise Unusable(DAMAGED) from error


def _decoded(picture: Any, size: int | None) -> Picture:
    changes = [SIXTEEN] if ";16" in str([tile[3] for tile in picture.tile]) else []
    width, height = picture.size
    if size and min(width, height) >= 4 * size:
        picture.draft(None, (2 * size, 2 * size))  # JPEG alone: decoded at a fraction, no smaller than this
    turned = _orientation(picture) if picture.format == "TIFF" else 1
    picture.load()
    flat = _flat(picture, changes)
    if picture.format != "TIFF" and any(key in picture.info for key in TELLING):  # a TIFF's own reader turns it
        turned = _orientation(picture)
        flat = flat.transpose(UPRIGHT[turned]) if turned > 1 else flat
    if turned > 1:
        changes.append(TURNED)
    if turned >= 5 and picture.format != "TIFF":
        width, height = height, width
    if _several(picture):
        changes.append(FRAME)
    levels = np.asarray(ImageOps.fit(flat, (size, size), Image.Resampling.LANCZOS) if size else flat)
    if levels.ndim == 3 and (levels == levels[..., :1]).all():
        levels = np.ascontiguousarray(levels[..., 0])
    return Picture(width, height, tuple(dict.fromkeys(changes)), levels)


@contextmanager
def _headed(path: Place) -> Iterator[Any]:
    """A picture whose header was read, from an open file: given a name, the library maps some TIFFs wrongly turned."""
    with opened(path) as file:
        try:
            picture = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            file.seek(0)
            raise Unusable(DAMAGED if file.read(4).startswith(STARTS) else "not a picture") from None
        except Image.DecompressionBombError:
            raise Unusable(TOO_LARGE) from None
        except Exception as error:  # see read
            raise Unusable(DAMAGED) from error
        if not picture.width * picture.height:
            raise Unusable("no pixels")
        if picture.width * picture.height > PIXELS:
            raise Unusable(TOO_LARGE)
        yield picture


def _orientation(picture: Image.Image) -> int:
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
        return orientation if orientation in UPRIGHT else 1
    except Exception:  # a picture is not lost because what is said about it is damaged
        return 1


def _several(picture: Any) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # the first frame is there, whatever follows it
        return True


def _flat(picture: Image.Image, changes: list[str]) -> Image.Image:
    """Any mode as L or RGB."""
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise Unusable("more than 16 bits a pixel, which only folders of .tif or .npy keep")
        changes.append(SIXTEEN)
        return Image.fromarray(np.round(levels / 257).astype(np.uint8))
    if picture.mode == "F":
        raise Unusable("floating-point pixels, which only folders of .tif or .npy keep")
    if picture.mode == "LAB":
        raise Unusable("Lab colours: save it as RGB")
    if picture.mode == "CMYK":
        changes.append(CMYK)
    if picture.mode in ("P", "PA"):
        changes.append(PALETTE)
    if picture.has_transparency_data:
        changes.append(OPACITY)
        paper = Image.new("RGBA", picture.size, "white")
        flat = Image.alpha_composite(paper, picture.convert("RGBA"))
        return flat.convert("L" if picture.mode in ("L", "LA", "La", "1") else "RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
