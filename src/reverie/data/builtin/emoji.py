"""Emoji, with what people call them."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import ReverieError
from ...reading import read_json
from ..base import Dataset, Report
from ..get import fetched, folder_of
from .base import Builtin

STYLES = {"google": "Apache-2.0, Google", "twitter": "CC-BY-4.0, Twitter, Inc and other contributors"}
CELL, EDGE = 64, 1
"""Pixels of an emoji on its sheet, and of the border around it."""
TAGS = 4
"""Of a caption that has some."""
ALIKE = {
    "1F468": "1F9D1", "1F469": "1F9D1", "1F466": "1F9D2", "1F467": "1F9D2", "1F474": "1F9D3", "1F475": "1F9D3",
    "1F57A": "1F483", "1F934": "1F478", "1F936": "1F385",
}  # fmt: skip
"""Men and women, boys and girls, those who dance, prince and princess, Santa and Mrs. Claus: of one concept."""
SAME = {"1F9D1-2764": "1F491", "1F9D1-2764-1F48B": "1F48F", "1FAF1-1FAF2": "1F91D",
        "1F46B": "1F9D1-1F91D", "1F46C": "1F9D1-1F91D", "1F46D": "1F9D1-1F91D"}  # fmt: skip
"""Couples and handshakes of several tones, which are written as what they are made of."""
LEFT = re.compile(r"1F3F[B-F]|2640|2642|27A1|FE0F|200D")
"""Tones, genders, a turn to the right, and what joins them."""
HELD_OUT = 10
"""One concept in so many is kept from training."""


class Emoji(Builtin):
    """3786 emoji of Google's style in colour on white, 32 x 32, captioned with their names; a tenth of the concepts held out.

    All tones and genders of a concept are on one side. Each is there twice: under its label alone, and with tags. Other
    styles and sizes: `pictures`.
    """

    def load(self) -> Dataset:
        return pictures("google", 32)


def pictures(style: str = "google", size: int = 32, tagged: bool = True) -> Dataset:
    """The set of a style at 16, 32 or 64 pixels; with `tagged`, each a second time with tags. Raises ReverieError."""
    if style not in STYLES or size not in (16, 32, 64):
        raise ReverieError(f"emoji are of style {' or '.join(STYLES)} at 16, 32 or 64 pixels, not {style!r} at {size}")
    lacking = [name for name in ("emoji_google", f"emoji_{style}", "emoji_names") if not fetched(name)]
    if lacking:
        raise ReverieError(
            f"the emoji are not on this machine yet: reverie data get {lacking[0] if style == 'twitter' else 'emoji'}"
        )
    entries, names = listed(folder_of("emoji_google") / "emoji.json"), named(folder_of("emoji_names") / "data.json")
    sheet = opened(folder_of(f"emoji_{style}") / "64.png")
    raw, captions, concepts = [], [], []
    for code, x, y in entries(style):
        label, tags = names.get(plain(code), ("", []))
        if not label:
            continue
        cell = sheet[:, y : y + CELL, x : x + CELL]
        if size < CELL:
            cell = torch.nn.functional.avg_pool2d(cell.float(), CELL // size).round().to(torch.uint8)
        for caption in [label, ", ".join([label, *tags[:TAGS]])][: 2 if tagged else 1]:
            raw.append(cell)
            captions.append(caption)
            concepts.append(concept(code))
    kinds = {kind: i for i, kind in enumerate(sorted(set(concepts)))}
    aside = torch.tensor([mixed(kinds[one]) % HELD_OUT == 0 for one in concepts])
    n = len(raw)
    whole = Dataset(
        name="emoji" if (style, size) == ("google", 32) else f"emoji_{style}_{size}", raw=torch.stack(raw),
        captions=tuple(captions), licence=f"{STYLES[style]}; names MIT, emojibase",
        source=f"emoji-datasource-{style} 16.0.0 and emojibase-data 17.0.0",
        report=Report(found=n, used=n, sizes={f"{CELL}x{CELL}": n}),
    )  # fmt: skip
    train, test = whole.take((~aside).nonzero()[:, 0]), whole.take(aside.nonzero()[:, 0])
    train.test = test
    return train


def even(data: Dataset) -> Dataset:
    """The pictures with tags, concepts about as often: once for each tone, under its label; without tones three times."""
    rows = torch.arange(len(data)).reshape(-1, 2)
    toned = torch.tensor(["skin tone" in data.captions[label] for label, _ in rows.tolist()])
    whole = data.take(torch.cat([rows[toned, 0], rows[~toned][:, [0, 0, 1]].reshape(-1)]))
    whole.test = data.test
    return whole


def mixed(i: int) -> int:
    """A number that looks random, of a whole one: concepts that are neighbours in Unicode are alike."""
    return (i * 2654435761 % 2**32) >> 8


def concept(code: str) -> str:
    """What all tones and genders of an emoji have in common."""
    parts = [ALIKE.get(part, part) for part in code.split("-") if not LEFT.fullmatch(part)]
    whole = "-".join(dict.fromkeys(parts))
    return SAME.get(whole, whole)


def plain(code: str) -> str:
    return code.upper().replace("-FE0F", "")


def listed(path: Path) -> Any:
    """(code, left, top) of every emoji that a style has, its tones included."""
    data = read_json(path)

    def of(style: str) -> list[tuple[str, int, int]]:
        found = []
        for one in data:
            for each in (one, *one.get("skin_variations", {}).values()):
                if each.get(f"has_img_{style}"):
                    x, y = (EDGE + (CELL + 2 * EDGE) * each[f"sheet_{axis}"] for axis in "xy")
                    found.append((each["unified"], x, y))
        return found

    return of


def named(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Label and tags of every emoji, by its code."""
    found = {}
    for one in read_json(path):
        tags = [tag for tag in one.get("tags", []) if tag not in one["label"]]
        for each in (one, *one.get("skins", [])):
            found[plain(each["hexcode"])] = each["label"], tags
    return found


def opened(path: Path) -> Tensor:
    """A sheet on white, uint8 (3, H, W)."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        whole = picture.convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    white.alpha_composite(whole)
    return torch.from_numpy(np.asarray(white.convert("RGB")).transpose(2, 0, 1).copy())
