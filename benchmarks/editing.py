"""What edits are exact about, in figures: python -m benchmarks.editing

Inversion and back of 64 test pictures of Fashion-MNIST, error against steps for three samplers, in float32 and in bfloat16; and
what memory an edit of a photograph takes, upscaled to 2000 x 1500 and inpainted at that size, above the model that waits.
Writes docs/editing.json; half an hour.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import reverie
from reverie.data import builtin
from reverie.files import cache_folder
from reverie.samplers.euler import Euler
from reverie.samplers.heun import Heun
from reverie.samplers.rk4 import RK4
from reverie.training.estimate import told

OUT = Path(__file__).parent.parent / "docs" / "editing.json"
SAMPLERS = {"ddim": Euler(), "heun": Heun(), "rk4": RK4()}
STEPS, COUNT = (5, 10, 20, 40), 64
DTYPES = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photograph", choices=["upscale", "inpaint"], help="in this process, telling its memory")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.photograph:
        print(json.dumps(photograph(given.photograph)))
        return
    found: dict[str, Any] = {"inversion": {dtype: inversion(dtype) for dtype in DTYPES}, "photograph": {}}
    for verb in ("upscale", "inpaint"):
        command = [sys.executable, "-m", "benchmarks.editing", "--threads", str(given.threads), "--photograph", verb]
        found["photograph"][verb] = json.loads(
            subprocess.run(command, capture_output=True, check=True, text=True).stdout
        )
        print(verb, found["photograph"][verb], flush=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n")


def inversion(dtype: str) -> dict[str, dict[int, float]]:
    """The mean over pictures of the root mean square error in levels of 255, each picture under its own class."""
    system: Any = reverie.load("fashion_mnist")
    test = builtin.load("fashion_mnist").test
    assert test is not None
    pictures, labels = list(test.raw[:COUNT]), [str(int(k)) for k in test.values["label"][:COUNT]]
    errors: dict[str, dict[int, float]] = {}
    for name, sampler in SAMPLERS.items():
        errors[name] = {}
        for steps in STEPS:
            done = system.invert(*pictures, sampler=sampler, sample_steps=steps, condition=labels, scale=1.0, batch=32,
                                 dtype=dtype)  # fmt: skip
            errors[name][steps] = float(np.mean(done.info["error"]))
        print(dtype, name, errors[name], flush=True)
    return errors


def photograph(verb: str) -> dict[str, float]:
    """MiB of the process with the model loaded, and at most during the edit."""
    system: Any = reverie.load("fashion_mnist")
    system.generate(16, sample_steps=1, condition=None)
    photo = cache_folder("data", "scikit_image") / "astronaut.png"
    if not photo.exists():
        sys.exit("the photographs are missing: reverie data get scikit_image")
    small = Image.open(photo).convert("L").crop((0, 60, 500, 435))
    idle = told("/proc/self/status", "VmRSS") >> 20
    Path("/proc/self/clear_refs").write_text("5")
    if verb == "upscale":
        done = system.upscale(np.asarray(small), factor=4, sample_steps=2, condition=None)
    else:
        large = np.asarray(small.resize((2000, 1500)))
        done = system.inpaint(large, box="500,400,800,600", sample_steps=2, condition=None)
    assert done.raw.shape == (1, 1, 1500, 2000)
    return {"idle": idle, "peak": told("/proc/self/status", "VmHWM") >> 20}


if __name__ == "__main__":
    main()
