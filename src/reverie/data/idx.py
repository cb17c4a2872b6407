"""The idx format: unsigned bytes of a shape that a short header states. LeCun et al. 1998, the MNIST database."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import ReverieError
from ..reading import plain

UNSIGNED_BYTE = 8


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A gzipped idx file of bytes that must have this shape, uint8 and writable.

    No more than that shape's bytes is ever unpacked. Raises ReverieError where the file is anything else.
    """
    expected = struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)
    count = math.prod(shape)
    try:
        with plain(path) as packed, gzip.open(packed) as file:
            head = file.read(len(expected))
            if head != expected:
                raise ReverieError(f"{path} does not hold bytes of shape {shape}: its header is {head.hex()}")
            data = file.read(count + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ReverieError(f"{path} is damaged: {error}") from None
    if len(data) != count:
        more = "more" if len(data) > count else "fewer"
        raise ReverieError(f"{path} is damaged: it holds {more} bytes than its header states")
    return np.frombuffer(bytearray(data), np.uint8).reshape(shape)
