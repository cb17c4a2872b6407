"""Measuring a run: its samples, asked for as the real data are labelled, against data that it never saw."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from .. import discover, files, metrics, recipes
from ..data.base import Dataset
from ..errors import ReverieError
from ..features.base import Extractor, choose
from ..features.classifier import Classifier
from ..metrics.base import Metric
from ..metrics.evaluate import Result, evaluate
from ..metrics.ladder import ladder
from ..systems.base import shipped
from ..systems.records import made_by
from .base import Recipe
from .generation import Generation


@dataclass(frozen=True)
class Evaluation:
    """Figures, what they stand beside, and all that made them."""

    result: Result
    ladder: dict[str, Result]
    made_by: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.result.as_dict(),
            "ladder": {name: {k: f.value for k, f in rung.figures.items()} for name, rung in self.ladder.items()},
            "made_by": self.made_by,
        }


def located(run: str, where: str | None = None) -> tuple[Dataset, dict[str, Any]]:
    """The data at the place that a run's recipe names, or at `where`, whatever they hold now, and recipe.json.

    Raises ReverieError where they are not at hand.
    """
    folder = Path(run) if Path(run).is_dir() else shipped(run)
    settled = files.read_json(folder / "recipe.json")
    cls = discover.lookup("recipe", recipes, Recipe, str(settled.get("recipe")))
    local = files.read_json(folder / "local.json") if (folder / "local.json").exists() else {}
    default = next((f.default for f in fields(cls) if f.name == "data"), "")  # type: ignore[arg-type]
    if where and default:
        raise ReverieError(f"{run} was trained on the built-in set {default}: leave out --data")
    place = where or local.get("data") or default
    if not place:
        raise ReverieError(f"where the data of {run} lie is not known here: give --data PATH")
    recipe = cls(**settled["options"], data=place)  # type: ignore[call-arg]
    assert isinstance(recipe, Generation)
    return recipe.loaded(), settled


def data_of(run: str, where: str | None = None) -> tuple[Dataset, list[str]]:
    """The data that a run was trained on, with the part it never saw as `test`, and warnings.

    Raises ReverieError where they are not at hand, or are others than those of the run.
    """
    data, settled = located(run, where)
    notes = []
    if data.fingerprint() != settled["data"]["fingerprint"]:
        raise ReverieError(f"the data at hand are not those that {run} was trained on: give --data PATH")
    if data.test is None:
        notes.append("no data were held out, so the reference is the training data: figures flatter copying; "
                     "train with --held-out N")  # fmt: skip
        data = replace(data, test=data)
    return data, notes


def evaluate_run(
    system: Any, data: Dataset, *, n: int = 1000, seed: int = 0, names: Sequence[str] = (), extractor: str | None = None,
    rungs: bool = False, model: str = "", notes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None, **options: Any,
) -> Evaluation:  # fmt: skip
    """n samples of the classes that the held-out data have, in their order, measured by the metrics of those names (all
    that apply by default); `rungs` adds what the first figure says of real data, untouched and spoiled.
    """
    if n < 2:
        raise ReverieError(f"figures need two samples or more, not {n}")
    assert data.test is not None
    test = data.test
    chosen = [discover.parse("metric", metrics, Metric, name) for name in names] or None
    eyes: Extractor = choose(data.shape, data.name, extractor)
    judge = Classifier(data.name) if Classifier.claims(data.shape, data.name) else None
    rows = torch.arange(n) % len(test)
    values = {key: value[rows] for key, value in test.values.items()} if system.conditioner.keys else None
    parts = list(system.batches(n, seed=seed, values=values, progress=progress, **options))
    raw = torch.cat([part.raw for part in parts])
    asked = values["label"] if values and "label" in values and judge is not None else None
    result = evaluate(raw, test.raw, data.raw, metrics=chosen, extractor=eyes, asked=asked, classifier=judge)
    result.warnings.extend(notes)
    steps: dict[str, Result] = {}
    if rungs:
        used = [discover.construct("metric", metrics, Metric, f.metric) for f in result.figures.values()]
        some = [metric for metric in dict.fromkeys(used) if "features" in metric.needs]
        steps = ladder(test.raw, data.raw, n, metrics=some, extractor=eyes, dataset=data.name)
    made = made_by(system, model, {**parts[0].info, "batch": len(parts[0])}, made="figures")
    made["data"] = {"name": data.name, "fingerprint": data.fingerprint()}
    return Evaluation(result, steps, made)
