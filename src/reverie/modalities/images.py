"""Pictures."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import files
from ..data.fields import kind_of
from ..data.folders import load_folder
from ..data.listing import PICTURES
from ..errors import ReverieError
from .base import Modality, info_of, numbered
from .grids import grid

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Images(Modality):
    """uint8 (N, C, H, W): grey, colour, or colour with opacity. Read from a folder, written as PNG."""

    extensions = PICTURES

    @classmethod
    def claims(cls, path):
        return Path(path).is_dir() and kind_of(Path(path)) == "pictures"

    def load(self, path, **options):
        """A folder of pictures, with the options of `data.folders.load_folder`."""
        return load_folder(Path(path), **options)

    def save(self, raw, folder, stem="", start=0, info=None):
        pictures = [_png(sample, about) for sample, about in zip(_checked(raw), info_of(info, len(raw)), strict=True)]
        paths = numbered(folder, stem, start, len(raw), ".png")
        for path, data in zip(paths, pictures, strict=True):
            files.write_bytes(path, data)
        return paths

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


def _png(sample: Tensor, info: Mapping[str, Any]) -> bytes:
    """A PNG whose text chunks hold `info`: strings as they are, anything else as JSON."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for key, value in info.items():
        text.add_itxt(key, value if isinstance(value, str) else json.dumps(value, allow_nan=False))
    buffer = io.BytesIO()
    _picture(sample).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()
