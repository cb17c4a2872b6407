"""Photographs enlarged four times by a trained model, beside interpolation: python -m benchmarks.photographs RUN

RUN is what `reverie train upscale` made of photographs (docs/editing.md), the last three of `reverie data get photographs` held
out. The middle 256 x 256 pixels of sample photographs of scikit-image and of those held out, made four times smaller by means of
blocks; 8 draws of each. PSNR of draws and of the mean of the draws, SSIM, and the distance of EfficientNet's features of squares
of 128 pixels; beside them the truth with noise of one level, which says how much that distance makes of noise. Writes
docs/photographs.json after each picture, and goes on from it, and docs/images/photographs.png.
"""

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import reverie
from reverie.data.get import folder_of
from reverie.features.efficientnet import EfficientNetLite0
from reverie.metrics.pairs import psnr

from .fidelity import apart, ssim

DOCS = Path(__file__).parent.parent / "docs"
OUT, PICTURE = DOCS / "photographs.json", DOCS / "images" / "photographs.png"
FACTOR, DRAWS, SIDE, SQUARE = 4, 8, 256, 128
SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg", "retina.jpg")
HELD_OUT = ("seeding_by_Clements_Engelhardt.jpg", "sunset_by_Aitzol_Berasategi.jpg", "umang_by_Abhishek_Mudgal.jpg")
SHOWN = {"astronaut.png": (64, 0), "chelsea.png": (64, 64), "coffee.png": (64, 64), HELD_OUT[0]: (64, 64)}
"""Left and top of the 128 x 128 pixels that the picture shows."""
NOISY = "the truth with noise of one level"


def pictures() -> dict[str, Tensor]:
    """uint8 (3, H, W) each, the middle of what is larger; those held out at half their size, as training has them."""
    found = {}
    for package, names, by in (("scikit_image", SAMPLES, 1), ("photographs", HELD_OUT, 2)):
        for name in names:
            picture = Image.open(folder_of(package) / name).convert("RGB").reduce(by)
            width, height = (min(side, SIDE) // SQUARE * SQUARE for side in picture.size)
            left, top = (picture.width - width) // 2, (picture.height - height) // 2
            levels = np.asarray(picture.crop((left, top, left + width, top + height)))
            found[name] = torch.from_numpy(levels.transpose(2, 0, 1).copy())
    return found


def smaller(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x.float(), FACTOR).round().to(torch.uint8)


def resized(small: Tensor, how: str) -> Tensor:
    picture = Image.fromarray(small.permute(1, 2, 0).numpy())
    size = (FACTOR * picture.width, FACTOR * picture.height)
    return torch.from_numpy(
        np.asarray(picture.resize(size, getattr(Image.Resampling, how.upper()))).transpose(2, 0, 1).copy()
    )


def noisy(true: Tensor) -> Tensor:
    """With noise of a deviation of one level of 255."""
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    return (true + noise).round().clamp(0, 255).to(torch.uint8)


def squares(x: Tensor) -> Tensor:
    """uint8 (N, 3, SQUARE, SQUARE) of (B, 3, H, W)."""
    B, C, H, W = x.shape
    cut = x.reshape(B, C, H // SQUARE, SQUARE, W // SQUARE, SQUARE).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(-1, C, SQUARE, SQUARE)


def figures(made: Tensor, true: Tensor, eyes: Any) -> dict[str, float]:
    """Of draws uint8 (D, 3, H, W) of one picture."""
    truth = true[None].expand_as(made)
    return {"psnr": psnr(made, truth).mean().item(), "psnr_mean": psnr(made.float().mean(0)[None], true[None]).item(),
            "ssim": ssim(made, truth).mean().item(),
            "distance": apart(squares(made), squares(truth), eyes).mean().item()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--sample-steps", type=int, default=None, help="instead of the run's own")
    asked = parser.parse_args()
    system: Any = reverie.load(asked.run)
    steps = asked.sample_steps or system.defaults.sample_steps
    eyes = EfficientNetLite0.build((3, SQUARE, SQUARE))
    result = json.loads(OUT.read_text()) if OUT.exists() else {}
    if (result.get("weights"), result.get("sample_steps")) != (system.weights_hash, steps):
        result = {
            "weights": system.weights_hash,
            "seen": system.about.get("seen"),
            "sample_steps": steps,
            "pictures": {},
        }
    rows = []
    for name, true in pictures().items():
        small, draws = smaller(true), None
        plain = {how: resized(small, how) for how in ("bicubic", "lanczos")}
        if name not in result["pictures"]:
            draws = system.upscale(small, factor=FACTOR, count=DRAWS, sample_steps=steps).raw
            beside = plain | {NOISY: noisy(true)}
            found = {how: figures(one[None], true, eyes) for how, one in beside.items()}
            result["pictures"][name] = found | {"ours": figures(draws, true, eyes)}
            print(name, result["pictures"][name], flush=True)
            OUT.write_text(json.dumps(result, indent=1) + "\n")
        if name in SHOWN:
            left, top = SHOWN[name]
            part = (slice(None), slice(top, top + SQUARE), slice(left, left + SQUARE))
            here = (
                slice(None),
                slice(top // FACTOR, (top + SQUARE) // FACTOR),
                slice(left // FACTOR, (left + SQUARE) // FACTOR),
            )
            blocks = small[here].repeat_interleave(FACTOR, 1).repeat_interleave(FACTOR, 2)
            ours = system.upscale(small, factor=FACTOR, count=2, sample_steps=steps).raw if draws is None else draws
            rows.append(
                [blocks, plain["bicubic"][part], plain["lanczos"][part], ours[0][part], ours[1][part], true[part]]
            )
    canvas = torch.cat(
        [torch.cat([torch.nn.functional.pad(one, (0, 4, 0, 4), value=255) for one in row], 2) for row in rows], 1
    )
    Image.fromarray(canvas.permute(1, 2, 0).numpy()).save(PICTURE)
    print("\n".join(table(result["pictures"])))


def table(found: dict[str, Any]) -> list[str]:
    """Means over pictures, and the ratio of distances to bicubic's."""
    rows = ["| pictures | | PSNR of a draw | of the mean of 8 | SSIM | distance | of bicubic's |",
            "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for group, names in (("scikit-image's", SAMPLES), ("held out", HELD_OUT)):
        base = mean(found[name]["bicubic"]["distance"] for name in names)
        for how in ("bicubic", "lanczos", "ours", NOISY):
            one = {key: mean(found[name][how][key] for name in names) for key in found[names[0]][how]}
            rows.append(f"| {group} | {how} | {one['psnr']:.2f} | {one['psnr_mean'] if how == 'ours' else one['psnr']:.2f} | "
                        f"{one['ssim']:.3f} | {one['distance']:.3f} | {one['distance'] / base:.2f} |")  # fmt: skip
    return rows


if __name__ == "__main__":
    main()
