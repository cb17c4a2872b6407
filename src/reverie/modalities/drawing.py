"""Arrays as small pictures. Everything here takes (C, *axes) of numbers between 0 and 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT, MARGIN, FINER = 192, 96, 6, 2
INK = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207))
FRAME = (220, 220, 220)


def lines(sample: np.ndarray) -> Image:
    """(C, L): a curve a channel, in colours that repeat after six."""
    from PIL import Image, ImageDraw

    paper = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), "white")
    pen = ImageDraw.Draw(paper)
    pen.rectangle((0, 0, WIDTH * FINER - 1, HEIGHT * FINER - 1), outline=FRAME, width=FINER)
    across = np.linspace(MARGIN, WIDTH - MARGIN, sample.shape[1]) * FINER
    for i, channel in enumerate(sample):
        down = (HEIGHT - MARGIN - channel * (HEIGHT - 2 * MARGIN)) * FINER
        points = [(float(x), float(y)) for x, y in zip(across, down, strict=True)]
        if len(points) > 1:
            pen.line(points, fill=INK[i % len(INK)], width=FINER + 1)
        else:
            pen.circle(points[0], 2 * FINER, fill=INK[i % len(INK)])
    return paper.resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def maps(sample: np.ndarray) -> Image:
    """(C, H, W): colour where C is 3, grey where it is 1, and otherwise the channels side by side."""
    from PIL import Image

    levels = np.round(sample * 255).astype(np.uint8)
    if len(levels) == 3:
        return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
    return Image.fromarray(_beside(list(levels))).convert("RGB")


def slices(sample: np.ndarray) -> Image:
    """(C, D, H, W): the middle slices across each of the axes side by side, the channels below each other."""
    from PIL import Image

    middles = [[channel.take(size // 2, axis) for axis, size in enumerate(channel.shape)] for channel in sample]
    rows = [_beside([np.round(one * 255).astype(np.uint8) for one in row]) for row in middles]
    gap = np.full((1, rows[0].shape[1]), 255, np.uint8)
    stacked = [part for row in rows for part in (row, gap)][:-1]
    return Image.fromarray(np.concatenate(stacked)).convert("RGB")


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    """Grey pictures (H, W) in a row, one white column between, white below the shorter ones."""
    height = max(len(one) for one in pictures)
    parts = []
    for one in pictures:
        parts += [
            np.pad(one, ((0, height - len(one)), (0, 0)), constant_values=255),
            np.full((height, 1), 255, np.uint8),
        ]
    return np.concatenate(parts[:-1], axis=1)
