"""Guidance of the Fashion-MNIST model against its scale: python -m benchmarks.guidance -n 1000

Label agreement, Fréchet distance and coverage of four ways to guide, all from the same noise. The weak network of
autoguidance is trained first, in about two minutes, unless --weak already holds it. Writes docs/guidance.json after each
point, and goes on from it where n and steps are the same; then docs/guidance.md and its figure, which --render alone does
from what is there.
"""

import argparse
import json
from pathlib import Path

import torch

import reverie
from reverie.features.classifier import Classifier
from reverie.metrics.agreement import Agreement
from reverie.metrics.base import Population
from reverie.metrics.evaluate import featured
from reverie.metrics.frechet import Frechet
from reverie.metrics.neighbours import DensityCoverage
from reverie.recipes.evaluating import data_of
from reverie.recipes.fashion_mnist import FashionMNIST

from . import guidance_page

MODEL = "fashion_mnist"
METHODS = {
    "classifier-free": ("extrapolated",),
    "interval": ("extrapolated", "limited(low=-2.1, high=2.5)"),
    "APG": ("apg",),
    "autoguidance": ("extrapolated",),
}
"""Each at every scale above 1, where all but autoguidance are the model itself; so is that."""
SCALES = (1.5, 2.0, 3.0, 5.0)
WEAK = FashionMNIST(
    samples=20_000, network="unet(levels=(16, 32, 64), blocks=1)", dtype="bfloat16", checkpoints=1, snapshots=1
)


class Eyes:
    """The figures of samples, against as many of the test pictures for coverage, and against all of them for distance."""

    def __init__(self, n: int) -> None:
        self.judge, (self.data, _) = Classifier(MODEL), data_of(MODEL)
        self.test = featured(Population(raw=self.data.test.raw), self.judge)
        self.some = Population(features=self.test.features[:n])

    def __call__(self, raw: torch.Tensor, asked: torch.Tensor) -> dict[str, list[float]]:
        """{figure: [value, standard error]}"""
        samples = featured(Population(raw=raw, asked=asked, predicted=self.judge.labels(raw)), self.judge)
        found = Agreement().measure(samples, self.test) | Frechet().measure(samples, self.test)
        found |= DensityCoverage().measure(samples, self.some)
        return {
            name: [float(f"{found[name]:.4g}"), float(f"{found[f'{name}_error']:.2g}")]
            for name in guidance_page.FIGURES
        }


def measure(n: int, steps: int | None, folder: Path, scales: tuple[float, ...]) -> None:
    if not (folder / "model.json").is_file():
        print(f"training the weak network in {folder}", flush=True)
        WEAK.run(folder)
    system, weak, eyes = reverie.load(MODEL), reverie.load(folder), Eyes(n)
    settings = {"samples": n, "steps": steps or system.defaults.grid.steps, "weak": weak.weights_hash}
    known = json.loads(guidance_page.DATA.read_text()) if guidance_page.DATA.exists() else {}
    result = known if all(known.get(key) == value for key, value in settings.items()) else {**settings, "figures": {}}
    real = torch.arange(n) * len(eyes.data) // n
    result["real"] = eyes(eyes.data.raw[real], eyes.data.values["label"][real])
    values = {"label": eyes.data.test.values["label"][:n]}
    points = [("none", (), 1.0)] + [(name, plan, scale) for name, plan in METHODS.items() for scale in scales]
    for name, plan, scale in points:
        figures = result["figures"].setdefault(name, {})
        if str(scale) in figures:
            continue
        made = system.generate(n, values=values, scale=scale, guidance=plan, sample_steps=steps, batch=100,
                               weak=weak if name == "autoguidance" else None)  # fmt: skip
        figures[str(scale)] = eyes(made.raw, values["label"])
        print(f"{name} {scale:g}: {figures[str(scale)]}", flush=True)
        guidance_page.DATA.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=1000, help="samples of each point")
    parser.add_argument("--sample-steps", type=int, help="of the sampler; the model's own by default")
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument(
        "--weak", type=Path, default=Path("runs/fashion_mnist_weak"), help="where the weak network is, or goes"
    )
    parser.add_argument(
        "--render", action="store_true", help="only write the page and the figure, from what was measured"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.render:
        measure(options.n, options.sample_steps, options.weak, tuple(options.scales))
    guidance_page.write()


if __name__ == "__main__":
    main()
