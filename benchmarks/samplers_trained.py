"""Fréchet distance against evaluations of samplers on the models that ship: python -m benchmarks.samplers_trained

A network's own error is larger than a sampler's, so that the default sampler and its number of steps are chosen here
and not on problems whose answer is known. Writes docs/samplers_trained.json, which `benchmarks.samplers --render` shows.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

import reverie
from reverie import discover, samplers
from reverie.recipes.evaluating import data_of, evaluate_run
from reverie.samplers.base import Sampler

DOCS = Path(__file__).parent.parent / "docs"
SAMPLERS = ("ddim", "heun", "dpmpp2m", "unipc", "unipc(order=3)", "deis", "dpmpp2msde")
MODELS = {
    "digits": ("pixels", 1000, (8, 14, 20, 32)),
    "fashion_mnist": ("classifier", 500, (8, 16, 25, 40)),
}
"""Each with the extractor of its features, how many samples and which numbers of evaluations."""


def measure(model: str, n: int, budgets: tuple[int, ...], names: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """{sampler: {budget: [Fréchet distance, its standard error]}}, with the same noise for all, unguided."""
    system = reverie.load(model)
    data, _ = data_of(model)
    found: dict[str, dict[str, list[float]]] = {}
    for text in names:
        sampler = discover.parse("sampler", samplers, Sampler, text)
        found[text] = {}
        for budget in budgets:
            steps = budget
            while steps > 1 and sampler.evaluations.total(system.denoiser.schedule, grid(system, steps)) > budget:
                steps -= 1
            result = evaluate_run(
                system,
                data,
                n=n,
                names=["frechet"],
                extractor=MODELS[model][0],
                sampler=sampler,
                sample_steps=steps,
                scale=1.0,
            ).result
            (figure,) = result.figures.values()
            found[text][str(budget)] = [float(f"{figure.value:.4g}"), float(f"{figure.error or 0:.2g}")]
            print(f"{model} {text} {budget}: {figure.value:.4g}", flush=True)
    return found


def grid(system, steps: int):
    return system.grid(None, steps)(system.denoiser.schedule)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("-n", type=int, help="samples of each")
    parser.add_argument("--budgets", type=int, nargs="+")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, help="these alone; the figures of others stay")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = DOCS / "samplers_trained.json"
    for model in options.models:
        _, n, budgets = MODELS[model]
        n, budgets = options.n or n, tuple(options.budgets or budgets)
        figures = measure(model, n, budgets, options.samplers or SAMPLERS)
        known = json.loads(path.read_text()) if path.exists() else {}
        if options.samplers and known.get(model, {}).get("samples") == n:
            figures = {name: {**known[model]["figures"], **figures}[name] for name in SAMPLERS
                       if name in known[model]["figures"] or name in figures}  # fmt: skip
        known[model] = {"samples": n, "figures": figures}
        path.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
