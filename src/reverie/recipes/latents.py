"""Learning in the latents of an autoencoder: which one it is, and the latents of a data set, computed once."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..codecs.base import Codec
from ..codecs.latent import Latent
from ..data.base import Dataset
from ..data.npy import header_npy, read_npy
from ..data.stored import Stored, blocks, fits
from ..discover import describe
from ..errors import ReverieError, printable
from ..files import cache_folder
from ..systems.autoencoding import Autoencoding
from ..systems.base import open_run
from .screen import say
from .starting import folder_of


def codec_of(place: str) -> Latent:
    """The codec of a run: an autoencoder, or a model that works in the latents of one. Raises ReverieError."""
    system: Any = open_run(folder_of(place))
    if isinstance(system, Autoencoding):
        return system.latent
    if isinstance(getattr(system, "codec", None), Latent):
        _ = system.codec.network
        return system.codec
    raise ReverieError(f"{place} is no autoencoder, and works in the latents of none: reverie train autoencoder DATA")


def named(place: str, codec: Latent) -> dict[str, str]:
    """What recipe.json calls it: no place on this machine."""
    path = Path(place).expanduser()
    return {"name": printable(path.resolve().name if path.is_dir() else place), "sha256": codec.sha256}


def require(place: str, told: Any, source: str) -> None:
    """Raises ReverieError where the autoencoder at hand is not the one that recipe.json names."""
    if not isinstance(told, Mapping) or not all(isinstance(told.get(key), str) for key in ("name", "sha256")):
        raise ReverieError(f"{source}: what it says of its autoencoder is no name and no hash")
    if not place:
        raise ReverieError(
            f"where the autoencoder {printable(told['name'][:80])} lies is not known here: give --codec RUN"
        )
    if codec_of(place).sha256 != told["sha256"]:
        raise ReverieError(f"the autoencoder in {place} is not the one of this recipe, sha256 {told['sha256'][:16]}")


def latents(data: Dataset, codec: Codec) -> Tensor | Stored | None:
    """z (N, C, *axes) float32 of all samples, from the user's cache, where they are put the first time; None where a codec
    needs no network, and codes what it is asked for when it is asked.
    """
    if not isinstance(codec, Latent):
        return None
    key = hashlib.sha256(json.dumps([describe(codec), data.fingerprint()]).encode()).hexdigest()[:32]
    path = cache_folder("latents") / f"{key}.npy"
    if not path.is_file():
        write(path, data, codec)
    shape, dtype, start = header_npy(path)
    if (shape[0], dtype) != (len(data), np.dtype("<f4")):
        raise ReverieError(f"{path} does not hold the latents that its name says: remove it")
    return torch.from_numpy(read_npy(path)) if fits(4 * math.prod(shape)) else Stored(path, start, dtype, shape)


def write(path: Path, data: Dataset, codec: Latent) -> None:
    """Codes all samples, whole or not at all."""
    say(f"coding {len(data):,} samples once; they are kept in {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        array: Any = None
        first = 0
        for block in blocks(data.raw, 64):
            z = codec.encode(block).numpy()
            if array is None:
                array = np.lib.format.open_memmap(part, "w+", np.dtype("<f4"), (len(data), *z.shape[1:]))
            array[first : first + len(z)] = z
            first += len(z)
        array.flush()
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
