"""The small classifiers whose features and labels judge samples of the built-in data sets."""

import json
from pathlib import Path
from typing import Any

import torch

from ..data.builtin import load
from ..data.stored import held
from ..errors import ReverieError
from ..features.classifier import Classifier
from ..features.fitting import fit
from ..files import save_tensors

OPTIONS: dict[str, dict[str, Any]] = {
    "digits": {"widths": (32, 64), "epochs": 20, "batch": 64, "rate": 0.05, "shift": 0, "bf16": False},
    "fashion_mnist": {"widths": (32, 64, 128), "epochs": 10, "shift": 2, "mirror": True, "bf16": True},
}
"""What made the weights that ship; other data takes the second."""


def classifier(data: str = "digits", out: Path = Path("classifier.safetensors"), seed: int = 0) -> dict[str, Any]:
    """Trains a classifier on the training part of a built-in set with labels, writes it in float16 without its norms,
    and returns the accuracy of what was written on the part held out. Prints a line an epoch.
    """
    train = load(data)
    if train.test is None or "label" not in train.values:
        raise ReverieError(f"{data} needs labels and a held out part for a classifier")
    options = OPTIONS.get(data, OPTIONS["fashion_mnist"]) | {"seed": seed}
    for epoch, loss, trained in fit(held(train.raw), train.values["label"], **options):
        print(f"epoch {epoch}: loss {loss:.4f}", flush=True)
        network = trained
    halves = {name: tensor.half() for name, tensor in network.folded().items()}
    save_tensors(Path(out), halves, {"recipe": json.dumps({"data": data, **options})})
    hits = Classifier(data, path=Path(out)).labels(held(train.test.raw)) == train.test.values["label"]
    found = {"data": data, "accuracy": hits.double().mean().item(), "held_out": len(hits), "torch": torch.__version__}
    print(f"{data}: {found['accuracy']:.2%} of {len(hits)} held out, in {out}", flush=True)
    return found
