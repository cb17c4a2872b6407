"""The averaged weights beside the raw ones."""

import math

import torch

from .base import Examination, Finding, passed
from .measures import geometric
from .patient import MIDDLE

ERROR_BOUND = 1.1
"""Times the error of the raw weights; up to 1.03 in healthy runs."""
DISTANCE_BOUND = 0.25
"""From raw to averaged weights, of the way that training went; 0.03 to 0.05 in healthy runs."""


class Average(Examination):
    """The average denoises as well as the raw weights do at the end, and lies near them: not at the beginning, not stale,
    and not a mere copy.
    """

    order = 30

    def examine(self, patient):
        if not {"ema", "raw"} <= patient.weights.keys():
            yield Finding("skipped", "there is only one set of weights, so there is nothing to compare")
            return
        ema, raw = patient.weights["ema"], patient.weights["raw"]
        first = patient.initial.state_dict()
        mend = (f"take `--weights raw`, or `--average 0.1` where {patient.run}/ema holds snapshots; `reverie train "
                f"--resume {patient.run}` writes the average anew from a whole checkpoint")  # fmt: skip
        if all(ema[name].equal(first[name].to(ema[name].dtype)) for name in first):
            yield Finding("fault", "the average is lost: it is still the initial weights, never updated", mend, 1.0,
                          DISTANCE_BOUND)  # fmt: skip
            return
        if all(ema[name].equal(raw[name]) for name in ema):
            yield Finding("fault", "the average is lost: it is the raw weights, byte for byte", mend, 0.0)
            return
        way, gap = distance(raw, first), distance(raw, ema)
        share = gap / way if way else math.inf
        if share > DISTANCE_BOUND:
            yield Finding("fault", f"the average is stale: it lies {share:.0%} of training's way behind the raw weights",
                          mend, share, DISTANCE_BOUND)  # fmt: skip
        else:
            yield passed(f"the average lies {share:.1%} of training's way from the raw weights", share, DISTANCE_BOUND)
        both = zip(patient.errors("ema"), patient.errors("raw"), strict=True)
        ratio = geometric([e / r for level, (e, r) in enumerate(both) if level in MIDDLE])
        if ratio > ERROR_BOUND:
            yield Finding("fault", f"the average denoises worse than the raw weights, {ratio:.3g} times their error", mend,
                          ratio, ERROR_BOUND)  # fmt: skip
        elif ratio < 1 / 2:
            yield Finding("warning", f"the raw weights denoise far worse than the average, {1 / ratio:.3g} times its error",
                          "training was unsteady at the end: a lower learning rate, or a longer decay", ratio)  # fmt: skip
        else:
            yield passed(f"the average has {ratio:.3f} of the raw weights' error", ratio, ERROR_BOUND)


def distance(a, b) -> float:
    """Euclidean, over all tensors of the same names."""
    return math.sqrt(sum((a[name].double() - b[name].double()).square().sum().item() for name in a if name in b
                         and torch.is_floating_point(a[name])))  # fmt: skip
