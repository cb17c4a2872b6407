"""The loss before the first update, at random and taken over from a shipped model: python benchmarks/going_on.py

The same 48 pictures and the same noise for both; 8 x 8 digits, and the same enlarged to a folder of 28 x 28 pictures whose
classes have other names, grey and tinted. About half a minute of one core.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from reverie.core.noise import Seeded
from reverie.data import builtin
from reverie.recipes.digits import Digits
from reverie.recipes.folder import Folder
from reverie.recipes.generation import Generation
from reverie.recipes.starting import following, opened, take_over

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TINTS = {"grey": (1.0,), "colour": (1.0, 0.9, 0.7)}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        recipes = {"digits, 8 x 8": Digits()}
        recipes |= {f"digits, 28 x 28, {k}": Folder(data=folder(Path(place, k), tint)) for k, tint in TINTS.items()}
        for name, recipe in recipes.items():
            for source in ("digits", "fashion_mnist"):
                random, begun = losses(replace(recipe, source=source))
                print(f"{name:24} from {source:14} {random:.2f} at random, {begun:.2f} taken over", flush=True)


def folder(place: Path, tint: tuple[float, ...]) -> str:
    digits = builtin.load("digits")
    for i in range(100):
        levels = digits.raw[digits.values["label"] == i % 10][i // 10, 0].numpy()
        picture = Image.fromarray(levels).resize((28, 28), Image.Resampling.BICUBIC)
        if len(tint) > 1:
            picture = Image.merge("RGB", [picture.point(lambda level, k=k: round(k * level)) for k in tint])
        (place / NAMES[i % 10]).mkdir(parents=True, exist_ok=True)
        picture.save(place / NAMES[i % 10] / f"{i}.png")
    return str(place)


@torch.no_grad()
def losses(recipe: Generation) -> tuple[float, float]:
    """Of weights at random, and of those taken over."""
    source = opened(recipe)
    assert source is not None
    recipe = following(recipe, source)
    data = recipe.loaded()
    random, begun = recipe.system(data), recipe.system(data)
    take_over(recipe, {"name": recipe.source, "sha256": source.weights_hash}, begun)
    rows = torch.arange(48) * (len(data) // 48)
    x, values = random.codec.encode(data.raw[rows]), {key: value[rows] for key, value in data.values.items()}
    found = [recipe.loss(one)(x, Seeded.at(0, range(48)), **one.conditioner(values)).item() for one in (random, begun)]
    return found[0], found[1]


if __name__ == "__main__":
    main()
