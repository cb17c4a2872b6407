"""Arrays of numbers."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import files
from ..data import tiffs
from ..data.arrays import load_arrays
from ..data.fields import kind_of
from ..data.npy import read_npy
from ..data.opening import Unusable
from ..errors import ReverieError
from .base import Modality, info_of, numbered
from .drawing import lines, maps, slices
from .grids import grid

DTYPES = ("float32", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


@dataclass(frozen=True)
class Arrays(Modality):
    """float32 (N, C, *axes) with 1 to 3 axes: signals, fields, volumes. Read from .npy, .npz and folders of TIFFs.

    Samples are written as files with that `ending`, .npy or .tif, of numbers of that `dtype`: those of the files that
    they were learnt from. To whole numbers they are rounded, to the nearest that the type has.
    """

    ending: str = ".npy"
    dtype: str = "float32"
    extensions = (".npy", ".npz", ".tif", ".tiff")
    written = (".npy", ".tif")

    def __post_init__(self) -> None:
        if self.ending not in (".npy", ".tif") or self.dtype not in DTYPES:
            raise ValueError(f"arrays are written as .npy or .tif of {', '.join(DTYPES)}")

    @classmethod
    def variants(cls) -> "tuple[Arrays, ...]":
        return (cls(), cls(".tif", "uint16"))

    @classmethod
    def claims(cls, path):
        path = Path(path)
        if path.is_file():
            return path.suffix.lower() in (".npy", ".npz")
        return path.is_dir() and kind_of(path) == "numbers"

    def load(self, path, **options):
        """A file of samples or a folder of one each, with the options of `data.arrays.load_arrays`."""
        return load_arrays(Path(path), **options)

    def save(self, raw, folder, stem="", start=0, info=None):
        """A file (C, *axes) a sample; as .tif a grey page for each channel, or layer of a volume, and `info` as JSON in
        its description. A .npy has no place for `info`.
        """
        if not raw.is_floating_point() or not 3 <= raw.ndim <= 5 or not len(raw):
            raise ReverieError(f"arrays are floating-point (B, C, *axes) with 1 to 3 axes, not {tuple(raw.shape)}")
        if not raw.isfinite().all():
            raise ReverieError("samples are not finite, so nothing was written")
        if self.ending == ".tif" and not (raw.ndim == 4 or (raw.ndim == 5 and raw.shape[1] == 1)):
            raise ReverieError(f"a TIFF holds a picture, or a volume of one channel, not {tuple(raw.shape[1:])}")
        paths = numbered(folder, stem, start, len(raw), self.ending)
        for path, sample, about in zip(paths, raw.cpu(), info_of(info, len(raw)), strict=True):
            files.write_bytes(path, self.encode(sample, about))
        return paths

    def encode(self, sample: torch.Tensor, info: Mapping[str, Any] = {}) -> bytes:
        numbers = self._typed(sample.cpu())
        if self.ending == ".tif":
            pages = numbers.reshape(-1, *numbers.shape[-2:])
            return tiffs.encoded(pages, json.dumps(info, allow_nan=False) if info else "")
        buffer = io.BytesIO()
        np.save(buffer, numbers, allow_pickle=False)
        return buffer.getvalue()

    def decode(self, path):
        """float32 whatever the type of the file; of a .tif (pages, H, W), which does not tell layers from channels."""
        path, texts = Path(path), {}
        if path.suffix.lower() == ".tif":
            try:
                (_, _, array), text = tiffs.read(str(path)), tiffs.description(str(path))
            except Unusable as reason:
                raise ReverieError(f"{path} is not a TIFF of ours: {reason}") from None
            if array is None:
                raise ReverieError(f"{path} states more numbers than any sample of ours has")
            if text.startswith("{"):
                told = files.parse_json(text, f"the description of {path}")
                texts = {key: json.dumps(value) for key, value in told.items()}
        else:
            array = read_npy(path)
        if str(array.dtype) not in DTYPES or not 2 <= array.ndim <= 4:
            raise ReverieError(
                f"{path} holds {array.dtype} {array.shape}; a sample is (C, *axes) of {', '.join(DTYPES)}"
            )
        return torch.from_numpy(array.astype(np.float32)), texts

    def stored(self, sample):
        return torch.from_numpy(self._typed(sample.cpu()).astype(np.float32))

    def _typed(self, sample: torch.Tensor) -> np.ndarray:
        numbers, dtype = sample.to(torch.float32).numpy(), np.dtype(self.dtype)
        if dtype.kind == "f":
            return numbers
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        whole = np.round(numbers.astype(np.float64))
        inside = (whole > low) & (whole < high)  # the ends themselves need not be exact as float64
        return np.where(
            inside, np.where(inside, whole, 0).astype(dtype), np.where(whole <= low, low, high).astype(dtype)
        )

    def show(self, raw, columns=None):
        """Lines of each channel, or maps, or the middle slices along three axes; one scale for all samples."""
        draw = {1: lines, 2: maps, 3: slices}[raw.ndim - 2]
        values = raw.detach().to("cpu", torch.float64).nan_to_num(0, 0, 0)
        low, high = values.min().item(), values.max().item()
        unit = (values - low) / (high - low) if high > low else torch.full_like(values, 0.5)
        return grid([draw(sample.numpy()) for sample in unit], columns)
