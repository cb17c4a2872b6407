"""Arrays of numbers."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import files
from ..data.arrays import load_arrays
from ..data.folders import PICTURES
from ..data.listing import endings
from ..data.npy import read_npy
from ..errors import ReverieError
from .base import Modality, numbered
from .drawing import lines, maps, slices
from .grids import grid


@dataclass(frozen=True)
class Arrays(Modality):
    """float32 (N, C, *axes) with 1 to 3 axes: signals, fields, volumes. Read from .npy and .npz, written as .npy."""

    extensions = (".npy", ".npz")
    written = ".npy"

    @classmethod
    def claims(cls, path):
        path = Path(path)
        if path.is_file():
            return path.suffix.lower() in cls.extensions
        counts = endings(path)
        return counts[".npy"] > 0 and counts[".npy"] >= sum(counts[ending] for ending in PICTURES)

    def load(self, path, **options):
        """A file of samples or a folder of one each, with the options of `data.arrays.load_arrays`."""
        return load_arrays(Path(path), **options)

    def save(self, raw, folder, stem="", start=0, info=None):
        """A .npy file (C, *axes) a sample; the format has no place for `info`."""
        if not raw.is_floating_point() or not 3 <= raw.ndim <= 5 or not len(raw):
            raise ReverieError(f"arrays are floating-point (B, C, *axes) with 1 to 3 axes, not {tuple(raw.shape)}")
        if not raw.isfinite().all():
            raise ReverieError("samples are not finite, so nothing was written")
        paths = numbered(folder, stem, start, len(raw), ".npy")
        for path, sample in zip(paths, raw.to("cpu", torch.float32), strict=True):
            files.write_bytes(path, self.encode(sample))
        return paths

    def encode(self, sample: torch.Tensor, info: Mapping[str, Any] = {}) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, sample.to("cpu", torch.float32).numpy(), allow_pickle=False)
        return buffer.getvalue()

    def decode(self, path):
        array = read_npy(Path(path))
        if array.dtype != np.float32 or not 2 <= array.ndim <= 4:
            raise ReverieError(f"{path} holds {array.dtype} {array.shape}; a sample is float32 (C, *axes)")
        return torch.from_numpy(array), {}

    def show(self, raw, columns=None):
        """Lines of each channel, or maps, or the middle slices along three axes; one scale for all samples."""
        draw = {1: lines, 2: maps, 3: slices}[raw.ndim - 2]
        values = raw.detach().to("cpu", torch.float64).nan_to_num(0, 0, 0)
        low, high = values.min().item(), values.max().item()
        unit = (values - low) / (high - low) if high > low else torch.full_like(values, 0.5)
        return grid([draw(sample.numpy()) for sample in unit], columns)
