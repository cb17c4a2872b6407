"""TIFF files of numbers that are more than 8-bit levels, with one or more channels or pages."""

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import MissingDependency
from .opening import Unusable, opened

LIMIT = 2**29
"""Bytes of the largest picture that is read."""
PACKED = 4096
"""What a byte can unpack to, generously: 1032 by Deflate, at most 2731 by LZW."""
TIMES, BOMB = 250, 2**26
"""How many times what is stored a picture may unpack to where that is more than some bytes."""
PAGES = 4096
DAMAGED = "cut short or damaged"


def read(path: str, most: int = LIMIT) -> tuple[tuple[int, ...], np.dtype, np.ndarray | None]:
    """(shape, type, numbers) of a file as stored: (K, H, W), where K counts the channels of all pages. Raises Unusable.

    What has more than `most` numbers is not decoded. Of a file that holds several pictures of different sizes, the first
    is read. Neither colour profiles nor the orientation tag change anything.
    """
    with _headed(path) as (file, series):
        shape, dtype = _numbers(series)
        if math.prod(shape) > most:
            return shape, dtype, None
        _complete(series, file, math.prod(shape) * dtype.itemsize)
        try:
            array = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return shape, dtype, _by_other_library(file, shape, dtype, str(error))
        axes = str(series.axes)
        array = np.moveaxis(array.reshape(series.shape), (axes.index("Y"), axes.index("X")), (-2, -1))
        return shape, dtype, array.reshape(shape)


def description(path: str, most: int = 2**20) -> str:
    """The text that a file carries, empty where it is longer than anybody's. Raises Unusable."""
    with _headed(path) as (_, series):
        text = str(series.keyframe.description)
    return text if len(text) <= most else ""


def encoded(array: np.ndarray, description: str = "") -> bytes:
    """A file of array (K, H, W): a grey page for each of K. The same bytes whenever it is written."""
    file = io.BytesIO()
    _library().imwrite(
        file, array, photometric="minisblack", metadata=None, software=False, description=description or None
    )
    return file.getvalue()


def _library() -> Any:
    try:
        import tifffile
    except ModuleNotFoundError:
        raise MissingDependency("TIFF files of more than 8 bits need: pip install tifffile") from None
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it would say is said by the report
    return tifffile


@contextmanager
def _headed(path: str) -> Iterator[tuple[Any, Any]]:
    """(file, series) of the first picture. Whatever a damaged file makes the library stumble over is Unusable."""
    library = _library()
    with opened(path) as file:
        if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise Unusable("not a .npy or TIFF file")
        file.seek(0)
        try:
            with library.TiffFile(file, _multifile=False) as tiff:  # what names other files is not followed to them
                if len(tiff.pages) > PAGES:
                    raise Unusable(f"more than {PAGES} pages")
                yield file, tiff.series[0]
        except (Unusable, MissingDependency):
            raise
        except Exception as error:
            raise Unusable(DAMAGED) from error


def _numbers(series: Any) -> tuple[tuple[int, ...], np.dtype]:
    axes, shape, dtype = str(series.axes), tuple(series.shape), series.dtype
    if dtype is None or dtype.kind not in "biuf" or "Y" not in axes or "X" not in axes or not math.prod(shape):
        raise Unusable("holds no picture of real numbers")
    if math.prod(shape) * dtype.itemsize > LIMIT:
        raise Unusable(f"states more than {LIMIT // 2**20} MiB")
    height, width = shape[axes.index("Y")], shape[axes.index("X")]
    return (math.prod(shape) // (height * width), height, width), dtype


def _complete(series: Any, file: Any, needed: int) -> None:
    """Raises Unusable where the numbers would lie beyond the end of the file, or nowhere: the library reads zeros."""
    end, stored = file.seek(0, io.SEEK_END), 0
    for page in series.pages:
        if page is None or not all(0 < count <= end - at for at, count in zip(page.dataoffsets, page.databytecounts)):
            raise Unusable(DAMAGED)
        stored += sum(page.databytecounts)
    if needed > stored * PACKED:
        raise Unusable(DAMAGED)
    if needed > max(BOMB, TIMES * stored):
        raise Unusable(f"unpacks to more than {TIMES} times its size")


def _by_other_library(file: Any, shape: tuple[int, ...], dtype: np.dtype, reason: str) -> np.ndarray:
    """One grey page whose compression needs a codec that is not installed, where the picture library has it."""
    from PIL import Image

    compression = reason.split(":")[0].rpartition(".")[2].strip("<>") or "an unusual method"
    file.seek(0)
    try:
        array = np.asarray(Image.open(file, formats=["TIFF"]))
    except Exception:
        array = np.zeros(0)
    if array.shape != shape[1:] or shape[0] != 1 or not np.array_equal(array.astype(dtype), array):
        raise Unusable(f"compressed with {compression}, which needs: pip install imagecodecs")
    return array.astype(dtype)[None]
