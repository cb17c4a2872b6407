"""Drawn faces whose captions say exactly what they are made of."""

import hashlib
import itertools
import json
from functools import lru_cache
from importlib import metadata
from importlib.resources import files as resources
from typing import Any

import torch
from torch import Tensor

from ...discover import install_command
from ...errors import MissingDependency, ReverieError
from ...files import cache_folder, load_tensors, save_tensors
from ..base import Dataset, Report
from .base import Builtin

EXPRESSIONS = {"smiling": "smileBig", "laughing": "smileLOL", "calm": "calm", "serious": "serious", "tired": "tired",
               "suspicious": "suspicious", "afraid": "fear", "furious": "rage"}  # fmt: skip
HEADS = {"an afro": "afro", "a bun": "bun", "cornrows": "cornrows", "a mohawk": "mohawk", "long hair": "long",
         "short hair": "short1", "a turban": "turban", "a hijab": "hijab", "a beanie": "hatBeanie",
         "no hair": "noHair1"}  # fmt: skip
BEARDS = {"": "", "a full beard": "full", "a goatee": "goatee1", "a moustache": "moustache1"}
GLASSES = {"": "", "glasses": "glasses", "sunglasses": "sunglasses"}
SKINS = {"pale": "#ffdbb4", "light": "#edb98a", "tan": "#d08b5b", "brown": "#ae5d29", "dark": "#694d3d"}
SHIRTS = {"blue": "#8fa7df", "green": "#78e185", "orange": "#ffcf77", "pink": "#e279c7", "red": "#e78276",
          "turquoise": "#9ddadb", "yellow": "#fdea6b"}  # fmt: skip
ATTRIBUTES: dict[str, dict[str, str]] = {
    "expression": EXPRESSIONS, "head": HEADS, "beard": BEARDS, "glasses": GLASSES, "skin": SKINS, "shirt": SHIRTS,
}  # fmt: skip
"""What captions tell, and what the drawings call it."""
DRAWN, STYLE = 64, "open-peeps"
"""Pixels of a side that faces are drawn at, and in what style: CC0 1.0, Pablo Stanley."""
APART = 0.1
"""Share of the pairs of values of two attributes that are kept from training."""
COUNT, TEST = 4000, 400
VERSION = 1
"""Of how faces are chosen: those in the cache are of one."""


class Faces(Builtin):
    """4000 drawn faces in colour on white, 32 x 32, whose captions tell expression, head, beard, glasses, skin and shirt.

    A tenth of the pairs of two such values never come together but in the 400 faces held out, each of which has one at least.
    Other sizes and numbers: `pictures`.
    """

    def load(self) -> Dataset:
        return pictures(32)


def pictures(size: int = 32, count: int = COUNT, held_out: int = TEST, seed: int = 0) -> Dataset:
    """The set at 16, 32 or 64 pixels, a function of its arguments and of the version of what draws it. Raises ReverieError."""
    if size not in (16, 32, 64) or not 1 <= count <= 10**6 or not 1 <= held_out <= 10**5:
        raise ReverieError(f"faces have 16, 32 or 64 pixels a side, not {size}, and there are up to a million of them")
    train, test = chosen(count, seed, apart=False), chosen(held_out, seed + 1, apart=True)
    parts = []
    for faces in (train, test):
        raw = cached(faces)
        if size < DRAWN:
            raw = torch.nn.functional.avg_pool2d(raw.float(), DRAWN // size).round().to(torch.uint8)
        parts.append(Dataset(
            name="faces" if size == 32 else f"faces_{size}", raw=raw, captions=tuple(map(caption, faces)),
            licence="CC0-1.0, Pablo Stanley (Open Peeps)", source="dicebear-styles, open-peeps",
            report=Report(found=len(faces), used=len(faces), sizes={f"{DRAWN}x{DRAWN}": len(faces)}),
        ))  # fmt: skip
    data, data.test = parts[0], parts[1]
    return data


def caption(face: dict[str, str]) -> str:
    beside = [face[name] for name in ("head", "beard", "glasses") if face[name]]
    expression, shirt = (article(face[name]) for name in ("expression", "shirt"))
    return f"{expression} person with {', '.join(beside)}, {face['skin']} skin and {shirt} shirt"


def article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def told(text: str) -> dict[str, str]:
    """The face that a caption of ours tells. Raises ReverieError where it is none."""
    expression, _, rest = text.partition(" person with ")
    beside, _, shirt = rest.rpartition(" skin and ")
    *parts, skin = beside.split(", ")
    face = {"expression": expression.split(" ")[-1], "skin": skin, "shirt": shirt.removesuffix(" shirt").split(" ")[-1],
            "beard": "", "glasses": ""}  # fmt: skip
    for part in parts:
        face |= {name: part for name in ("head", "beard", "glasses") if part in ATTRIBUTES[name]}
    if any(face.get(name) not in known for name, known in ATTRIBUTES.items()) or caption(face) != text:
        raise ReverieError(f"{text[:80]!r} tells no face of this set")
    return face


def kept_apart(face: dict[str, str]) -> list[tuple[str, str]]:
    """The pairs of values that a face has and training has not."""
    return [
        pair for pair in itertools.combinations([f"{name} {face[name]}" for name in ATTRIBUTES], 2) if pair in apart()
    ]


@lru_cache
def apart() -> frozenset[tuple[str, str]]:
    """All pairs that are kept from training: the first by a hash of their names."""
    values = [[f"{name} {value}" for value in known] for name, known in ATTRIBUTES.items()]
    pairs = [pair for one, other in itertools.combinations(values, 2) for pair in itertools.product(one, other)]
    mixed = sorted(pairs, key=lambda pair: hashlib.sha256("|".join(pair).encode()).hexdigest())
    return frozenset(mixed[: round(APART * len(pairs))])


def chosen(count: int, seed: int, apart: bool) -> list[dict[str, str]]:
    """Faces at random: of no pair that is kept from training, or of one at least."""
    stream = torch.Generator().manual_seed(seed)
    found: list[dict[str, str]] = []
    while len(found) < count:
        picks = [list(known)[int(torch.randint(len(known), (), generator=stream))] for known in ATTRIBUTES.values()]
        face = dict(zip(ATTRIBUTES, picks))
        if bool(kept_apart(face)) == apart:
            found.append(face)
    return found


def cached(faces: list[dict[str, str]]) -> Tensor:
    """uint8 (N, 3, 64, 64), drawn once and kept in the user's cache."""
    versions = [
        metadata.version(name) if installed(name) else "" for name in ("dicebear-styles", "dicebear-core", "resvg-py")
    ]
    key = hashlib.sha256(json.dumps([VERSION, versions, faces]).encode()).hexdigest()[:32]
    path = cache_folder("faces") / f"{key}.safetensors"
    if path.is_file():
        return load_tensors(path)["raw"]
    raw = torch.stack(drawn(faces))
    save_tensors(path, {"raw": raw})
    return raw


def installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def drawn(faces: list[dict[str, str]]) -> list[Tensor]:
    """Each uint8 (3, 64, 64) on white. Raises MissingDependency without what draws them."""
    try:
        import dicebear
        import resvg_py
    except ModuleNotFoundError:
        raise MissingDependency(f"faces are drawn by dicebear and resvg: {install_command('dicebear')}") from None
    style = dicebear.Style(json.loads(resources("dicebear_styles").joinpath(f"{STYLE}.json").read_text("utf-8")))
    found = []
    for i, face in enumerate(faces):
        picture = dicebear.Avatar(style, options(face, i))
        found.append(opened(bytes(resvg_py.svg_to_bytes(svg_string=picture.to_string(), width=DRAWN, height=DRAWN))))
    return found


def options(face: dict[str, str], i: int) -> dict[str, Any]:
    """What the drawing is told; what captions do not tell, such as the colour of hair, is drawn by the number of the face."""
    beard, glasses = BEARDS[face["beard"]], GLASSES[face["glasses"]]
    return {
        "seed": f"reverie {i}", "size": DRAWN, "backgroundColor": ["#ffffff"], "maskProbability": 0,
        "expressionVariant": [EXPRESSIONS[face["expression"]]], "headVariant": [HEADS[face["head"]]],
        "facialHairProbability": 100 if beard else 0, **({"facialHairVariant": [beard]} if beard else {}),
        "accessoriesProbability": 100 if glasses else 0, **({"accessoriesVariant": [glasses]} if glasses else {}),
        "skinColor": [SKINS[face["skin"]]], "clothingColor": [SHIRTS[face["shirt"]]],
    }  # fmt: skip


def opened(data: bytes) -> Tensor:
    import io

    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        whole = picture.convert("RGBA")
    white = Image.new("RGBA", whole.size, "white")
    white.alpha_composite(whole)
    return torch.from_numpy(np.asarray(white.convert("RGB")).transpose(2, 0, 1).copy())
