"""What a format is to the fuzzer."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hostile.changing import bytes_changed


@dataclass(frozen=True)
class Format:
    """`seeds` makes healthy files in a folder that stays; `read` reads bytes in the format, `deeper` changes them inside."""

    seeds: Callable[[Path], list[bytes]]
    read: Callable[[bytes, Path], object]
    deeper: Callable[[bytes, Random], bytes] | None = None
    share: float = 0.6
    """Of the changes, how many are deeper."""

    def changed(self, data: bytes, rng: Random) -> bytes:
        if self.deeper is not None and rng.random() < self.share:
            return self.deeper(data, rng)
        return bytes_changed(data, rng)


def written(here: Path, name: str, data: bytes) -> Path:
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    (here / name).write_bytes(data)
    return here / name
