"""Inverse problems on held-out Fashion-MNIST, classical methods beside ours: python -m benchmarks.inverse

Pictures that the model never saw, measured in four ways; 8 draws of each by every method at 50 evaluations a draw, without
labels. PSNR of draws and of the mean of the draws, SSIM of draws, and the distance of the classifier's features. Then the best
four methods of each problem on more pictures. Writes docs/inverse.json after each figure, and goes on from it; then
docs/inverse.md and its pictures, which --render alone does from what is there.
"""

import argparse
import inspect
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import reverie
from reverie.core.grids import Karras
from reverie.core.noise import Seeded
from reverie.data import builtin
from reverie.features.classifier import Classifier
from reverie.metrics.pairs import psnr
from reverie.modalities.grids import write_picture
from reverie.posterior.daps import DAPS
from reverie.posterior.ddnm import DDNM
from reverie.posterior.ddnm_plus import DDNMPlus
from reverie.posterior.ddrm import DDRM
from reverie.posterior.diffpir import DiffPIR
from reverie.posterior.dps import DPS
from reverie.posterior.mmps import MMPS
from reverie.posterior.operators.base import Operator
from reverie.posterior.operators.blur import GaussianBlur
from reverie.posterior.operators.downsampling import Area
from reverie.posterior.operators.mask import Mask
from reverie.posterior.pigdm import PiGDM
from reverie.posterior.replacement import RePaint, Replacement
from reverie.posterior.tmpd import TMPD
from reverie.samplers.ddpm import DDPM

from . import inverse_page
from .fidelity import apart, ssim

MODEL = "fashion_mnist"
PICTURES, MORE, DRAWS, EVALUATIONS, BATCH = 32, 64, 8, 50, 128
ROUNDED = 1 / 127.5 / 12**0.5
NOISY = 0.02
"""Deviation of the noise of a blurred picture, 2.55 levels; the others have that of rounding alone."""


def box() -> Tensor:
    known = torch.ones(28, 28, dtype=torch.bool)
    known[8:20, 8:20] = False
    return known


PROBLEMS: dict[str, tuple[Operator, float]] = {
    "centre box of 12": (Mask(box()), ROUNDED),
    "70 % of pixels": (Mask.random((28, 28), 0.3, seed=1), ROUNDED),
    "4 times smaller": (Area(4), ROUNDED),
    "blur of 1.5": (GaussianBlur(1.5), NOISY),
}
Make = Callable[[Any, Tensor, Operator, float, float], tuple[Any, Any, int]]
"""(denoiser, y, operator, std_y, std_data) to (denoiser, sampler, evaluations a step)."""


def changed(cls: Any, **options: Any) -> Make:
    def make(d: Any, y: Tensor, A: Operator, std_y: float, std: float) -> tuple[Any, Any, int]:
        return cls(d, y, A, **told(cls, std_y, std), **options), DDPM(), 1

    return make


def stepped(cls: Any, share: int = 1, **options: Any) -> Make:
    return lambda d, y, A, std_y, std: (d, cls(y, A, **told(cls, std_y, std), **options), share)


def told(cls: Any, std_y: float, std: float) -> dict[str, float]:
    takes = inspect.signature(cls).parameters
    return {name: value for name, value in (("std_y", std_y), ("std_data", std)) if name in takes}


METHODS: dict[str, Make] = {
    "DPS": changed(DPS), "PiGDM": changed(PiGDM), "DDNM": changed(DDNM), "MMPS": changed(MMPS, iterations=3),
    "TMPD": changed(TMPD),
    "Replacement": stepped(Replacement), "RePaint": stepped(RePaint, 4, jump=4, repeats=4), "DiffPIR": stepped(DiffPIR),
    "DDNM+": stepped(DDNMPlus), "DDRM": stepped(DDRM), "DAPS": stepped(DAPS, 4, steps=4),
}  # fmt: skip


QUICK = tuple(name for name in METHODS if name not in ("DPS", "PiGDM", "MMPS", "TMPD"))
"""Those without gradients, which come first."""


def drawn(system: Any, make: Make, y: Tensor, operator: Operator, std_y: float, dtype: str) -> Tensor:
    """uint8 (DRAWS, N, 1, 28, 28) of y (N, *)."""
    found, count = [], len(y) * DRAWS
    schedule, std = system.denoiser.schedule, system.codec.std
    each = y.repeat(DRAWS, *[1] * (y.ndim - 1))
    for first in range(0, count, BATCH):
        rows = list(range(first, min(first + BATCH, count)))
        denoiser = system.guided(system.values(rows, None), len(rows), 1.0, dtype)
        d, sampler, share = make(denoiser, each[rows[0] : rows[-1] + 1], operator, std_y, std)
        noise = Seeded.at(0, rows)
        x = schedule.start(noise.draw(torch.empty(len(rows), *system.shape)))
        z = sampler(d, x, Karras(EVALUATIONS // share, sigma_min=0.01)(schedule), noise)
        found.append(system.codec.decode(z.detach().nan_to_num(0.0)))
    return torch.cat(found).reshape(DRAWS, len(y), *system.shape)


def classical(y: Tensor, operator: Operator) -> dict[str, Tensor]:
    """What needs no model, uint8 (N, 1, 28, 28) by name."""

    def levels(x: Any) -> Tensor:
        return (
            ((torch.as_tensor(np.asarray(x)).float().reshape(-1, 1, 28, 28).clamp(-1, 1) + 1) * 127.5)
            .round()
            .to(torch.uint8)
        )

    if isinstance(operator, Mask):
        from skimage.restoration import inpaint_biharmonic

        unknown = ~operator.known.numpy().reshape(28, 28)
        return {
            "biharmonic": levels([inpaint_biharmonic(one[0].numpy(), unknown) for one in operator.pseudo_inverse(y)])
        }
    if isinstance(operator, Area):
        from PIL import Image

        small = [Image.fromarray(one[0].numpy()) for one in y]
        return {kind: levels([np.asarray(one.resize((28, 28), getattr(Image.Resampling, kind.upper()))) for one in small])
                for kind in ("bicubic", "lanczos")}  # fmt: skip
    assert isinstance(operator, GaussianBlur)
    return {"Wiener": levels(deblurred(y, operator, "wiener", BALANCE)),
            "Richardson-Lucy": levels(deblurred(y, operator, "richardson_lucy", ROUNDS)), "as measured": levels(y)}  # fmt: skip


BALANCE, ROUNDS = 3e-4, 160
"""Of Wiener's filter and of Richardson and Lucy's iteration: those of the highest PSNR on training pictures, see `tuned`."""


def deblurred(y: Tensor, operator: GaussianBlur, how: str, strength: float) -> list[Any]:
    """Each in [-1, 1], mirrored beyond its borders as the operator does."""
    from skimage.restoration import richardson_lucy, wiener

    offsets = np.arange(-6, 7)
    w = np.exp(-0.5 * (offsets / operator.std) ** 2)
    psf = np.outer(w, w) / w.sum() ** 2
    padded = [np.pad((one[0].numpy() + 1) / 2, 8, mode="symmetric") for one in y]
    made = [wiener(one, psf, balance=strength, clip=False) if how == "wiener"
            else richardson_lucy(one.clip(1e-3, 1), psf, num_iter=int(strength)) for one in padded]  # fmt: skip
    return [2 * one[8:-8, 8:-8] - 1 for one in made]


def tuned() -> dict[str, dict[float, float]]:
    """PSNR of the two on 64 training pictures, by strength."""
    true = builtin.load(MODEL).raw[:64]
    operator, std_y = PROBLEMS["blur of 1.5"]
    assert isinstance(operator, GaussianBlur)
    y = operator(true.float() / 127.5 - 1)
    y = y + std_y * Seeded.at(8, range(64), "measurement").draw(y)
    found = {}
    for how, strengths in (
        ("wiener", (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)),
        ("richardson_lucy", (20, 40, 80, 160, 320)),
    ):
        made = {s: torch.tensor(np.array(deblurred(y, operator, how, s)))[:, None] for s in strengths}
        found[how] = {s: psnr(((x.clamp(-1, 1) + 1) * 127.5).round(), true).mean().item() for s, x in made.items()}
    return found


class Eyes:
    def __init__(self) -> None:
        self.extractor = Classifier(MODEL)

    def __call__(self, draws: Tensor, true: Tensor) -> dict[str, float]:
        """Of draws uint8 (D, N, 1, 28, 28); SSIM and distance are means over draws."""
        flat, truth = draws.flatten(0, 1), true.repeat(len(draws), 1, 1, 1)
        mean = draws.float().mean(0)
        near = apart(flat, truth, self.extractor).mean().item()
        return {"psnr": psnr(flat, truth).mean().item(), "psnr_mean": psnr(mean, true).mean().item(),
                "ssim": ssim(flat, truth).mean().item(), "distance": near}  # fmt: skip


def measure(out: Path, dtype: str | None = None) -> None:
    system, eyes = reverie.load(MODEL), Eyes()
    dtype = dtype or system.dtype
    test = builtin.load(MODEL).test
    assert test is not None
    rows = torch.linspace(0, len(test) - 1, MORE).long()
    result = json.loads(out.read_text()) if out.exists() else {"weights": system.weights_hash, "few": {}, "more": {}}
    for stage, count, round_ in (
        ("few", PICTURES, QUICK),
        ("few", PICTURES, tuple(METHODS)),
        ("more", MORE, tuple(METHODS)),
    ):
        true = test.raw[rows[:: MORE // count]]
        for problem, (operator, std_y) in PROBLEMS.items():
            y = operator(system.codec.encode(true))
            y = y + std_y * Seeded.at(7, range(len(y)), "measurement").draw(y)
            figures = result[stage].setdefault(problem, {})
            for name, made in classical(y, operator).items():
                figures[name] = eyes(made[None], true)
            methods = METHODS if stage == "few" else {name: METHODS[name] for name in best(result["few"][problem])}
            for name, make in methods.items():
                if name in figures or name not in round_:
                    continue
                started = time.process_time()
                try:
                    draws = drawn(system, make, y, operator, std_y, dtype)
                except reverie.ReverieError as error:
                    figures[name] = {"refused": str(error)}
                    continue
                took = {"seconds": time.process_time() - started, "dtype": dtype}
                figures[name] = eyes(draws, true) | took
                print(f"{stage}, {problem}, {name}: {figures[name]}", flush=True)
                out.write_text(json.dumps(result, indent=1) + "\n")
    out.write_text(json.dumps(result, indent=1) + "\n")


def look(result: dict[str, Any], count: int = 8) -> None:
    """docs/images/inverse.png: four rows a problem: true, measured, the classical method, two draws of ours."""
    system, test = reverie.load(MODEL), builtin.load(MODEL).test
    assert test is not None
    true, rows = test.raw[torch.linspace(0, len(test) - 1, MORE).long()[:: MORE // count]], []
    for problem, (operator, std_y) in PROBLEMS.items():
        y = operator(system.codec.encode(true))
        y = y + std_y * Seeded.at(7, range(len(y)), "measurement").draw(y)
        (name,) = best(result["few"][problem], 1)
        draws = drawn(system, METHODS[name], y, operator, std_y, system.dtype)
        rows += [true, system.codec.decode(operator.pseudo_inverse(y) if problem != "blur of 1.5" else y),
                 next(iter(classical(y, operator).values())), draws[0], draws[1]]  # fmt: skip
    write_picture(system.modality.show(torch.cat(rows), columns=count), inverse_page.PICTURE, {})


def best(figures: dict[str, Any], count: int = 4) -> list[str]:
    """The methods of the least distance of features."""
    ours = {name: one["distance"] for name, one in figures.items() if name in METHODS and "distance" in one}
    return sorted((name for name in ours if math.isfinite(ours[name])), key=lambda name: ours[name])[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--render", action="store_true", help="only the page, from docs/inverse.json")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="of rows to come; the quicker one of this machine"
    )
    given = parser.parse_args()
    if not given.render:
        measure(inverse_page.DATA, given.dtype)
        look(json.loads(inverse_page.DATA.read_text()))
    inverse_page.render()


if __name__ == "__main__":
    main()
