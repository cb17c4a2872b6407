"""What is said of samples, carried over from one model's conditions to another's."""

from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning.augmented import columns, parts
from ..conditioning.base import Conditioner
from ..conditioning.labels import Labels
from ..conditioning.scalars import Scalars
from ..errors import some

Part = TypeVar("Part", bound=Conditioner)
State = Mapping[str, Tensor]
LABEL = "conditions.label.weight"
HEAR, HEAR_BIAS, SAY, SAY_BIAS = (f"conditions.scalars.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias"))
VECTOR = "conditions.noise.2.bias"
"""Added to the condition vector of every sample, so that what is no longer said has its place here."""
NAMES = (LABEL, HEAR, HEAR_BIAS, SAY, SAY_BIAS, VECTOR)
"""The tensors of a network whose meaning depends on the conditions: those of `nn.embeddings.Conditions`."""


def carried(name: str, old: State, new: State, theirs: Conditioner, ours: Conditioner) -> tuple[Tensor, str]:
    """The tensor of that name that the new network starts with, and how it came to be: "" where it is the old one.

    The network hears nothing new at first, and what is no longer said is taken as not known: it starts as the function
    that it was.
    """
    if name == LABEL:
        return labels(old.get(LABEL), new[LABEL], theirs, ours)
    if name == VECTOR:
        return unsaid(old, new, theirs)
    if SAY_BIAS not in old or old[SAY_BIAS].shape != new[SAY_BIAS].shape:
        return (torch.zeros_like(new[name]), "new: zero") if name in (SAY, SAY_BIAS) else (new[name], "new: at random")
    return hearing(old[HEAR], theirs, ours) if name == HEAR else (old[name], "")


def labels(old: Tensor | None, fresh: Tensor, theirs: Conditioner, ours: Conditioner) -> tuple[Tensor, str]:
    """The table (K + 1, width) of class vectors, the null class last: rows by name; those of new classes start as the null
    class, or as the mean of all where it was never trained.
    """
    before, now = part(theirs, Labels), part(ours, Labels)
    assert now is not None
    if old is None or before is None or old.shape[1:] != fresh.shape[1:]:
        return torch.zeros_like(fresh), "new: zero"
    if before.classes == now.classes and before.has_null:
        return old, ""
    null, called = (old[-1], "the null class") if before.has_null else (old[:-1].mean(0), "the mean of all classes")
    rows = [old[before.classes.index(name)] if name in before.classes else null for name in now.classes]
    known, unknown, lost = sorted_out(before.classes, now.classes)
    said = [f"{len(known)} of {len(now.classes)} classes by name" + (f" ({some(known)})" if known else "")]
    said += [f"new ones start as {called} ({some(unknown)})"] if unknown else []
    said += [] if before.has_null else ["the null class starts as the mean of all classes"]
    said += [f"left behind: {some(lost)}"] if lost else []
    return torch.stack([*rows, null]), "; ".join(said)


def hearing(old: Tensor, theirs: Conditioner, ours: Conditioner) -> tuple[Tensor, str]:
    """The first layer's columns by name, refitted where numbers have another mean and spread now; new ones are zero.

    z_old = (x - mean_old) / std_old = z std_new / std_old + (mean_new - mean_old) / std_old
    """
    before, now = columns(theirs), columns(ours)
    refitted = refits(theirs, ours)
    if before == now and not refitted:
        return old, ""
    weight = old.double()
    column = {what: weight[:, i] for i, what in enumerate(before)}
    for name, shift, stretch in refitted:
        column["known", name] = column["known", name] + shift * column["number", name]
        column["number", name] = stretch * column["number", name]
    made = torch.stack([column.get(what, torch.zeros_like(weight[:, 0])) for what in now], 1)
    known, unknown, lost = sorted_out(*([name for kind, name in side if kind != "known"] for side in (before, now)))
    said = [f"{len(known)} of {len(known) + len(unknown)} numbers by name" + (f" ({some(known)})" if known else "")]
    said += [f"new ones start unheard ({some(unknown)})"] if unknown else []
    said += [f"refitted to another mean and spread: {some([name for name, *_ in refitted])}"] if refitted else []
    said += [f"left behind: {some(lost)}"] if lost else []
    return made.to(old.dtype), "; ".join(said)


def refits(theirs: Conditioner, ours: Conditioner) -> list[tuple[str, float, float]]:
    """Of the numbers that both know, those that are standardised otherwise now: name, shift and stretch of z."""
    before, now = part(theirs, Scalars), part(ours, Scalars)
    if before is None or now is None:
        return []
    then = dict(zip(before.names, zip(before.mean, before.std, strict=True), strict=True))
    here = dict(zip(now.names, zip(now.mean, now.std, strict=True), strict=True))
    return [
        (name, (here[name][0] - then[name][0]) / then[name][1], here[name][1] / then[name][1])
        for name in now.names
        if name in then and then[name] != here[name]
    ]


def unsaid(old: State, new: State, theirs: Conditioner) -> tuple[Tensor, str]:
    """The bias of the condition vector, with what a sample of which nothing is known adds to it, where the new network has
    no place for that.
    """
    if old[VECTOR].shape != new[VECTOR].shape:
        return new[VECTOR], "new: at random"
    vector, said = old[VECTOR].double(), []
    if LABEL in old and LABEL not in new:
        before = part(theirs, Labels)
        null = before is not None and before.has_null
        vector = vector + (old[LABEL][-1] if null else old[LABEL][:-1].mean(0)).double()
        said.append("the null class" if null else "the mean of all classes")
    if SAY in old and SAY not in new:
        vector = vector + old[SAY].double() @ F.silu(old[HEAR_BIAS].double()) + old[SAY_BIAS].double()
        said.append("numbers that are not known")
    return (vector.to(old[VECTOR].dtype), f"holds {' and '.join(said)} too, of which there are none now") if said else (
        old[VECTOR], ""
    )  # fmt: skip


def sorted_out(before: "tuple[str, ...] | list[str]", now: "tuple[str, ...] | list[str]") -> tuple[list[str], ...]:
    """The names of both, of now alone, and of before alone."""
    return ([n for n in now if n in before], [n for n in now if n not in before], [n for n in before if n not in now])


def part(conditioner: Conditioner, kind: type[Part]) -> Part | None:
    return next((one for one in parts(conditioner) if isinstance(one, kind)), None)
