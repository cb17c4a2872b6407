"""The conditions: heard, in the right order, and known to be left out."""

import torch

from ..errors import some
from .base import Examination, Finding, passed
from .measures import error, geometric
from .patient import QUANTILES

HEARD_BOUND = 1.02
"""Times the error with the conditions of others: 1.05 after 2,000 digits, 1.2 to 2 in healthy runs."""
NULL_BOUND = 1.03
"""Times the error with wrong conditions: to be told nothing is better than to be told wrong."""
FEW = 20
NOISY = (2, 3, 4)
"""Quantiles at which there is something left for a condition to say."""
MOST_CLASSES = 20


class Conditions(Examination):
    """Real samples are denoised better with their own condition than with another's; names and numbers of classes agree;
    the null condition was trained where guidance needs it; and no class is too small to learn.
    """

    order = 40

    def examine(self, patient):
        conditioner = patient.conditioner
        if not conditioner.keys:
            yield passed("no conditions")
            return
        network = patient.network("ema" if "ema" in patient.weights else "raw")
        batch, n = patient.batch, len(patient.batch.z)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
        others = {key: value[order] for key, value in batch.cond.items()}
        own, wrong = ([patient.error(network, level, cond) for level in NOISY] for cond in (batch.cond, others))
        yield from self.heard(patient, geometric([w / o for w, o in zip(wrong, own, strict=True)]))
        yield from self.null(patient, network, own, wrong)
        if "label" in patient.data.values and hasattr(conditioner, "classes"):
            yield from self.classes(patient, network)

    def heard(self, patient, ratio):
        if ratio >= HEARD_BOUND:
            yield passed(f"with another's condition the error is {ratio:.3g} times as large", ratio, HEARD_BOUND)
            return
        said = f"the condition is ignored: with another's the error is {ratio:.4g} times as large"
        if (between := informed(patient)) is not None and between < 2:
            yield Finding("warning", f"{said}; in the data, too, classes are no further apart than chance makes them "
                          f"({between:.2f} times): the labels look shuffled, or say nothing of the samples",
                          "check that labels and samples belong together", ratio, HEARD_BOUND)  # fmt: skip
        else:
            yield Finding("fault", said, "it was trained with shuffled labels, its embedding is lost (see `fresh`), or it "
                          "was not trained long enough to hear them", ratio, HEARD_BOUND)  # fmt: skip

    def null(self, patient, network, own, wrong):
        conditioner = patient.conditioner
        if not conditioner.has_null:
            yield passed("trained without dropout of the condition, so guidance and the null condition are refused")
            return
        n = len(patient.batch.z)
        found = [patient.error(network, level, conditioner.null(n)) for level in NOISY]
        ratio = geometric([f / w for f, w in zip(found, wrong, strict=True)])
        gain = geometric([f / o for f, o in zip(found, own, strict=True)])
        mend = ("sample with --scale 1; for guidance, train with --dropout 0.1, or put back the dropout of 0 in model.json "
                "if it was trained so")  # fmt: skip
        name, table = "conditions.label.weight", network.state_dict()
        first = patient.initial.state_dict()
        if name in table and table[name][-1].equal(first[name][-1].to(table[name].dtype)):
            yield Finding("fault", "the null condition was never trained: its row of the embedding is the initial one", mend,
                          ratio, NULL_BOUND, (name,))  # fmt: skip
        elif ratio > NULL_BOUND:
            yield Finding("fault", f"the null condition was never trained: told nothing, the error is {ratio:.3g} times that "
                          "of being told wrong", mend, ratio, NULL_BOUND)  # fmt: skip
        else:
            yield passed(f"told nothing, the error is {gain:.3g} times that of the right condition and {ratio:.3g} times "
                         "that of a wrong one", ratio, NULL_BOUND)  # fmt: skip

    def classes(self, patient, network):
        labels, names = patient.data.values["label"], patient.conditioner.classes
        counts = torch.bincount(labels[labels >= 0], minlength=len(names))
        few = [f"{names[i]} ({counts[i]})" for i in range(len(names)) if counts[i] < FEW]
        if few:
            yield Finding("warning", f"classes with fewer than {FEW} samples: {some(few)}", "gather more, or join them",
                          counts.min().item(), FEW, tuple(few))  # fmt: skip
        else:
            yield passed(f"the smallest of {len(names)} classes has {counts.min()} samples", counts.min().item(), FEW)
        if not 2 <= len(names) <= MOST_CLASSES or not set(labels.tolist()) & set(range(len(names))):
            return
        wrong = misnamed(patient, network)
        share = len(wrong) / len(names)
        if share >= 0.25:
            told = [f"what the data call {names[i]} is denoised best as {names[k]}" for i, k in wrong.items()]
            yield Finding("fault", f"classes are in another order than in training: {some(told, 3)}",
                          "put back the order of classes of model.json, or the names of the folders", share, 0.25,
                          tuple(names[i] for i in wrong))  # fmt: skip
        else:
            yield passed(
                f"{len(names) - len(wrong)} of {len(names)} classes are denoised best as themselves", share, 0.25
            )


def misnamed(patient, network, each: int = 4, margin: float = 1.1) -> dict[int, int]:
    """Classes whose samples have an error at least `margin` times smaller under another class's label: which."""
    labels, found = patient.data.values["label"], {}
    t = patient.times[QUANTILES.index(0.7)]
    count = len(patient.conditioner.classes)
    for label in range(count):
        rows = (labels == label).nonzero()[:each, 0]
        if not len(rows):
            continue
        batch = patient.take(rows)
        tries = [
            error(network, patient.parameterization, patient.noise_input, patient.schedule, batch.z, batch.eps, t,
                  {**batch.cond, "label": torch.full_like(batch.cond["label"], k)}).mean().item()
            for k in range(count)
        ]  # fmt: skip
        best = min(range(count), key=lambda k: tries[k])
        if tries[label] > margin * tries[best]:
            found[label] = best
    return found


def informed(patient) -> float | None:
    """How far classes are apart in the data: variance of their means, over what chance would make it. 1 is chance."""
    label = patient.data.values.get("label")
    if label is None:
        return None
    label, z = label[patient.rows(len(patient.z), "z")], patient.z.flatten(1).double()
    z = z[label >= 0] - z[label >= 0].mean(0)
    label = label[label >= 0]
    kinds = label.unique()
    if len(kinds) < 2 or len(z) <= len(kinds):
        return None
    between = sum(((label == k).sum() * z[label == k].mean(0).square().sum()).item() for k in kinds)
    return between / z.square().sum().item() * (len(z) - 1) / (len(kinds) - 1)
