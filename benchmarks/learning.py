"""What changes how fast a recipe learns: python -m benchmarks.learning WORK

Fashion-MNIST by class, each choice of the recipe changed alone, at equal samples seen; the Fréchet distance of 1024 samples to
the test pictures by the features of our classifier, and seconds of processor time, which other work does not change. Each run
stays in WORK and is not done twice. Writes docs/learning.json; some 50 minutes of one core (OMP_NUM_THREADS=1).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import reverie
from reverie.recipes.fashion_mnist import FashionMNIST

from .time_to_quality import Eyes

OUT = Path(__file__).parent.parent / "docs" / "learning.json"
SAMPLES, COUNT = 9_600, 1_024
NETWORK = "unet(levels=(32, 96, 128), blocks=1, attention=(False, False, True), groups={})"
CHANGES: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "another seed": {"seed": 1},
    "AdamW, rate 0.002": {"optimizer": "adamw"},
    "AdamW, rate 0.004": {"optimizer": "adamw", "learning_rate": 0.004},
    "Muon, rate 0.002": {"learning_rate": 0.002},
    "Muon, rate 0.008": {"learning_rate": 0.008},
    "batches of 16": {"batch": 16},
    "batches of 64": {"batch": 64},
    "rate falls over 20 %": {"decay": 0.2},
    "rate falls over 90 %": {"decay": 0.9},
    "velocity prediction": {"parameterization": "velocity"},
    "noise prediction, LinearVP": {"parameterization": "noise", "schedule": "linearvp"},
    "uniform noise levels": {"density": "uniform"},
    "weights of min-SNR": {"weight": "minsnr"},
    "32 groups in norms": {"network": NETWORK.format(32)},
    "levels of 64, 96, 128": {"network": NETWORK.format(8).replace("(32, 96", "(64, 96")},
    "a transformer, patch 2": {"network": "dit(patch=2, width=192, depth=6)"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    eyes, found = Eyes(), {}
    for name, change in CHANGES.items():
        path = given.work / f"{name}.json"
        if not path.exists():
            started = time.process_time()
            folder = given.work / name
            recipe = FashionMNIST(samples=SAMPLES, minutes=None, dtype="bfloat16", compile="off", **change)
            recipe.run(folder, resume=(folder / "recipe.json").exists())
            seconds = time.process_time() - started
            system: Any = reverie.load(folder)
            distance = eyes(system.generate(COUNT, seed=0).raw)
            path.write_text(json.dumps({"distance": distance, "seconds": seconds}))
        found[name] = json.loads(path.read_text())
        print(f"{name}: {found[name]}", flush=True)
        OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
