"""All figures of one population of samples, with what a reader needs to judge them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from math import isfinite
from typing import Any

from torch import Tensor

from ..discover import describe, variants
from ..errors import ReverieError
from ..features import Extractor, choose
from ..features.classifier import Classifier
from .base import Metric, Population


@dataclass(frozen=True)
class Figure:
    """One number, its standard error where one is known, and what it is."""

    value: float
    error: float | None
    better: str
    unit: str
    metric: dict[str, Any]
    """The metric and its options, as `discover.construct` reads them."""


@dataclass(frozen=True)
class Result:
    """Figures by name, and all that they depend on."""

    counts: dict[str, int]
    extractor: dict[str, Any] | None
    """Name, hash and dimension of what made the features; None where no metric needed any."""
    classifier: dict[str, Any] | None
    figures: dict[str, Figure]
    warnings: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; every number is finite."""
        return asdict(self)


def evaluate(
    samples: Tensor | Population, reference: Tensor | Population, train: Tensor | Population | None = None, *,
    metrics: Sequence[Metric] | None = None, extractor: Extractor | None = None, dataset: str | None = None,
    asked: Tensor | None = None, classifier: Classifier | None = None, batch: int = 64,
) -> Result:  # fmt: skip
    """Measures `samples` (N, *) against `reference` (M, *), real data held out from `train`: bytes or floats.

    Where `metrics` is None they are all that the given populations allow, less those that ask the model: `train` for
    copying, `asked` (N,) and a classifier for label agreement. Where `extractor` is None it is chosen by the shape and
    `dataset`. Raises ReverieError where a metric lacks what it needs, and where samples or figures are not finite.
    """
    x, real, known = (
        p if isinstance(p, Population) or p is None else Population(raw=p) for p in (samples, reference, train)
    )
    assert x is not None and real is not None
    _check(x, real, known)
    if asked is not None:
        x = replace(x, asked=asked)
    if classifier is None and isinstance(extractor, Classifier):
        classifier = extractor
    if x.asked is not None and x.predicted is None and classifier is not None:
        x = replace(x, predicted=classifier.labels(x.need("raw", "a classifier"), batch))
    if metrics is None:
        has = {"features", "raw"} | ({"train"} if known else set()) | ({"asked"} if x.predicted is not None else set())
        every = variants(import_module(__package__), Metric)
        metrics = [metric for metric in every if has.issuperset(metric.needs)]
    used = {need for metric in metrics for need in metric.needs}
    if "features" in used or any(getattr(metric, "space", "") == "features" for metric in metrics):
        extractor = extractor or choose(tuple(x.need("raw", "an extractor").shape[1:]), dataset)
        x, real = featured(x, extractor, batch), featured(real, extractor, batch)
        if known and any(getattr(metric, "space", "") == "features" for metric in metrics):
            known = featured(known, extractor, batch)
    figures: dict[str, Figure] = {}
    for metric in metrics:
        found = metric.measure(x, real, known)
        for name, value in found.items():
            if not isfinite(value):
                raise ReverieError(f"{name} is {value}: the samples or the reference are degenerate")
            if not (name.endswith("_error") and name.removesuffix("_error") in found):
                figures[name] = Figure(value, found.get(f"{name}_error"), metric.better, metric.unit, describe(metric))
    sizes = {"samples": len(x), "reference": len(real)} | ({"train": len(known)} if known else {})
    sizes = {name: size for name, size in sizes.items() if size}
    return Result(
        counts=sizes,
        extractor=_named(extractor) if x.features is not None and extractor is not None else None,
        classifier=_named(classifier) if x.predicted is not None and classifier is not None else None,
        figures=figures,
        warnings=[note for metric in metrics for note in metric.warnings(x, real)],
        assumptions=[note for metric in metrics for note in metric.assumptions(x, real)],
    )


def featured(population: Population, extractor: Extractor, batch: int = 64) -> Population:
    """The population with its features (N, D), which are computed where they are missing."""
    if population.features is not None:
        return population
    features = extractor.extract(population.need("raw", extractor.name), batch)
    if not features.isfinite().all():
        raise ReverieError(f"{extractor.name} gives features that are not finite: the samples are broken")
    return replace(population, features=features)


def _named(extractor: Extractor) -> dict[str, Any]:
    return {"name": extractor.name, "hash": extractor.hash, "dim": extractor.dim}


def _check(samples: Population, reference: Population, train: Population | None) -> None:
    sides = {"samples": samples, "reference": reference} | ({"train": train} if train else {})
    shape = None if samples.raw is None else tuple(samples.raw.shape[1:])
    for name, side in sides.items():
        if not len(side) and side.model is None:
            raise ReverieError(f"there are no {name} to measure")
        if side.raw is None:
            continue
        if shape is not None and tuple(side.raw.shape[1:]) != shape:
            raise ReverieError(
                f"samples are {shape}, but {name} are {tuple(side.raw.shape[1:])}: they cannot be compared"
            )
        if side.raw.is_floating_point() and not side.raw.isfinite().all():
            raise ReverieError(f"the {name} hold numbers that are not finite")
