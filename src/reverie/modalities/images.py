"""Pictures."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import files
from ..data.decoded import load_pictures
from ..data.fields import kind_of
from ..data.listing import PICTURES
from ..data.sources import pieces
from ..errors import ReverieError
from ..reading import plain
from .base import Modality, info_of, numbered
from .grids import grid, png

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Images(Modality):
    """uint8 (N, C, H, W): grey, colour, or colour with opacity. Read from a folder, archives or tables, written as PNG."""

    extensions = PICTURES
    written = (".png",)

    @classmethod
    def claims(cls, path):
        path = Path(path)
        return (path.is_dir() and kind_of(path) == "pictures") or bool(pieces(path))

    def load(self, path, **options):
        """A folder, archives or tables of pictures, with the options of `data.folders.load_folder`."""
        return load_pictures(Path(path), **options)

    def save(self, raw, folder, stem="", start=0, info=None):
        pictures = [
            png(_picture(sample), about) for sample, about in zip(_checked(raw), info_of(info, len(raw)), strict=True)
        ]
        paths = numbered(folder, stem, start, len(raw), ".png")
        for path, data in zip(paths, pictures, strict=True):
            files.write_bytes(path, data)
        return paths

    def encode(self, sample: Tensor, info: Mapping[str, Any] = {}) -> bytes:
        return png(_picture(_checked(sample[None])[0]), info)

    def decode(self, path):
        from PIL import Image

        from ..data.pictures import PIXELS

        try:
            with plain(path) as file, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the picture library, about sizes that are refused below
                picture: Any = Image.open(file, formats=["PNG"])
                if picture.width * picture.height > PIXELS:
                    raise ReverieError(f"{path} claims {picture.width} x {picture.height} pixels: no sample of ours")
                texts, levels, mode = dict(picture.text), np.array(picture), picture.mode
        except (ReverieError, FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
            raise ReverieError(f"{path} is not a PNG, or is damaged") from error
        if mode not in MODES.values():
            raise ReverieError(f"{path} was written by another program, in mode {mode}; samples are {MODES}")
        return torch.from_numpy(levels.reshape(*levels.shape[:2], -1).transpose(2, 0, 1).copy()), texts

    def show(self, raw, columns=None):
        from PIL import Image

        tiles = []
        for sample in _checked(raw):
            picture = _picture(sample)
            paper = Image.new("RGBA", picture.size, "white")
            tiles.append(Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB"))
        return grid(tiles, columns)


def _checked(raw: Tensor) -> Tensor:
    if raw.dtype != torch.uint8 or raw.ndim != 4 or raw.shape[1] not in MODES or not len(raw):
        raise ReverieError(f"pictures are uint8 (B, 1, 3 or 4, H, W), not {str(raw.dtype)[6:]} {tuple(raw.shape)}")
    return raw.cpu()


def _picture(sample: Tensor) -> Any:
    from PIL import Image

    array = sample.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if len(sample) == 1 else array)
