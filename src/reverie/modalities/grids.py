"""Tiles side by side, for eyes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import files

if TYPE_CHECKING:
    from PIL.Image import Image

VISIBLE = 64
"""Pixels that the longer side of a tile should have at least."""
GAP = 2
PAPER = (255, 255, 255)


def grid(tiles: Sequence[Image], columns: int | None = None) -> Image:
    """Tiles of one size in rows, nearly square unless `columns` says otherwise, with a thin gap between and around.

    Small tiles are enlarged by a whole number, so that each of their pixels stays a sharp square.
    """
    from PIL import Image

    columns = max(1, min(len(tiles), columns or math.ceil(math.sqrt(len(tiles)))))
    rows = math.ceil(len(tiles) / columns)
    scale = max(1, math.ceil(VISIBLE / max(tiles[0].size)))
    width, height = (side * scale for side in tiles[0].size)
    paper = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), PAPER)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        large = tile.resize((width, height), Image.Resampling.NEAREST)
        paper.paste(large, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return paper


def png(picture: Image, info: Mapping[str, Any] = {}) -> bytes:
    """A PNG whose text chunks hold `info`: strings as they are, anything else as JSON."""
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for key, value in info.items():
        text.add_itxt(key, value if isinstance(value, str) else json.dumps(value, allow_nan=False))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def write_picture(picture: Image, path: Path, info: Mapping[str, Any] = {}) -> None:
    """A PNG that holds `info`, whole or not at all."""
    files.write_bytes(path, png(picture, info))
