"""What training in bfloat16 costs in quality: python -m benchmarks.precision

The recipe of Fashion-MNIST with three seeds in float32 and in bfloat16, the same samples seen, and the kernel distance of
2048 samples of each to the test pictures. Runs stay in --work, so that a stopped one goes on. About 40 minutes of one core.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import reverie
from reverie.recipes.evaluating import data_of, evaluate_run
from reverie.recipes.fashion_mnist import FashionMNIST

DTYPES = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "reverie-bench" / "precision")
    parser.add_argument("--samples", type=int, default=12_800, help="seen in training")
    parser.add_argument("-n", type=int, default=2048, help="samples made and measured")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/precision.json"))
    given = parser.parse_args()
    found = {dtype: [figure(given, dtype, seed) for seed in range(given.seeds)] for dtype in DTYPES}
    result = {"samples_seen": given.samples, "samples_measured": given.n, "kernel_distance": found, **compared(found)}
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


def figure(given: argparse.Namespace, dtype: str, seed: int) -> float:
    """The kernel distance of one training, done once."""
    run = given.work / f"{dtype}-{given.samples}-{seed}"
    recipe = replace(FashionMNIST(), samples=given.samples, seed=seed, dtype=dtype, compile="off")
    recipe.run(run, resume=(run / "recipe.json").exists())
    system: Any = reverie.load(run)
    real, notes = data_of(str(run), None)
    found = evaluate_run(system, real, n=given.n, names=("kernel",), extractor="classifier", rungs=False, notes=notes,
                         model=run.name)  # fmt: skip
    value = found.result.figures["kernel"].value
    print(f"{dtype} seed {seed}: {value:.5f}", flush=True)
    return value


def compared(found: dict[str, list[float]]) -> dict[str, float]:
    """The difference of the means, its standard error from the spread over seeds, and its share of the float32 mean."""
    plain, half = (found[dtype] for dtype in DTYPES)
    error = (stdev(plain) ** 2 / len(plain) + stdev(half) ** 2 / len(half)) ** 0.5
    difference = mean(half) - mean(plain)
    return {"difference": difference, "standard_error": error, "share": difference / mean(plain)}


def table(result: dict[str, Any]) -> str:
    rows = [f"| {dtype} | " + " | ".join(f"{v:.5f}" for v in values) + f" | {mean(values):.5f} |"
            for dtype, values in result["kernel_distance"].items()]  # fmt: skip
    seeds = range(len(result["kernel_distance"][DTYPES[0]]))
    return "\n".join([
        "| dtype | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |",
        "| --- |" + " --- |" * (len(seeds) + 1), *rows, "",
        f"bfloat16 less float32: {result['difference']:+.5f} ± {result['standard_error']:.5f}, {result['share']:+.1%}",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
