"""Files of a folder that may hold anything, opened only where they are plain."""

import errno
import os
import stat
from collections.abc import Callable
from typing import BinaryIO

Place = str | Callable[[], BinaryIO]
"""A path, or what gives the content of something that lies in a larger file; it raises Unusable."""


class Unusable(Exception):
    """Why a file is skipped, in a few words that many files share."""


def opened(path: Place) -> BinaryIO:
    """A plain file that is not empty, to be read. Raises Unusable. Pipes and devices are not even opened."""
    if not isinstance(path, str):
        return path()
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise Unusable("not a regular file")
        if not about.st_size:
            raise Unusable("empty")
        return open(path, "rb")
    except FileNotFoundError:
        raise Unusable("a link to nothing") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unusable("a link to itself") from None
        raise Unusable(f"cannot be read: {error.strerror}") from None
