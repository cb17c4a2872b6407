"""Measuring a run: its samples, asked for as the real data are labelled, against data that it never saw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .. import discover, metrics
from ..codecs.detail import enlarged
from ..codecs.pixels import Pixels
from ..conditioning.text import unpacked
from ..core.denoisers import Denoiser
from ..data.base import Dataset
from ..data.degradations import shrunk
from ..data.stored import held
from ..errors import ReverieError
from ..features.base import Extractor, choose
from ..features.classifier import Classifier
from ..features.perceptual import Perceptual
from ..metrics.base import Metric, Model, Population
from ..metrics.evaluate import Figure, Result, evaluate
from ..metrics.ladder import ladder
from ..metrics.pairs import psnr
from ..systems.autoencoding import Autoencoding
from ..systems.base import shipped
from ..systems.records import made_by
from .repeating import recorded


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
    recipe, settled = recorded(folder / "recipe.json", where)
    return recipe.loaded(), settled


def data_of(run: str, where: str | None = None) -> tuple[Dataset, list[str]]:
    """The data that a run was trained on, with the part it never saw as `test`, and warnings.

    Raises ReverieError where they are not at hand, or are others than those of the run.
    """
    data, settled = located(run, where)
    notes = []
    if data.fingerprint() != settled["data"].get("fingerprint"):
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
    that apply by default); `rungs` adds what the first figure says of real data, untouched and spoiled. Metrics that
    ask the model alone get n of the held-out data and its unguided denoiser, and nothing is sampled for them.
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
    apart = all(metric.needs == ("model",) for metric in chosen) if chosen else False
    model_itself = Model(
        lambda values: asking(system, values), system.codec.encode, n, seed, progress if apart else None
    )
    info = {"seed": seed, "count": min(n, len(test)), "scale": 1.0, "dtype": "float32"}
    real, seen = test.raw[:n] if apart else held(test.raw), held(data.raw)
    if apart:
        made_of, asked, judge = Population(model=model_itself), None, None
    else:
        parts = list(system.batches(n, seed=seed, values=values, progress=progress, **options))
        info = {**parts[0].info, "batch": len(parts[0])}
        made_of = Population(
            raw=torch.cat([part.raw for part in parts]), model=model_itself, prompts=prompts_of(values or {})
        )
        asked = values["label"] if values and "label" in values and judge is not None else None
    places = torch.arange(len(real)) if apart else torch.arange(len(real)) * len(test) // len(real)
    known = {key: value[places] for key, value in test.values.items() if system.conditioner.keys}
    reference = Population(raw=real, values=known, prompts=prompts_of(known))
    result = evaluate(
        made_of, reference, None if apart else seen, metrics=chosen, extractor=eyes, asked=asked, classifier=judge
    )
    result.warnings.extend(notes)
    for what, part, whole in (("reference", real, test), ("training", seen, data)):
        if not apart and len(part) < len(whole):
            result.warnings.append(f"{len(part):,} of {len(whole):,} {what} samples, evenly chosen, stand for all")
    steps: dict[str, Result] = {}
    if rungs:
        used = [discover.construct("metric", metrics, Metric, f.metric) for f in result.figures.values()]
        some = [metric for metric in dict.fromkeys(used) if "features" in metric.needs]
        steps = ladder(real, seen, n, metrics=some, extractor=eyes, dataset=data.name)
    made = made_by(system, model, info, made="figures")
    made["data"] = {"name": data.name, "fingerprint": data.fingerprint()}
    return Evaluation(result, steps, made)


def prompts_of(values: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    return tuple(unpacked(values["prompt"])) if "prompt" in values else ()


def evaluate_autoencoder(
    system: Autoencoding, data: Dataset, *, n: int = 1000, model: str = "", notes: Sequence[str] = ()
) -> Evaluation:
    """How near n held-out pictures come back: PSNR in dB and, where its network is on this machine, `Perceptual` distance;
    beside them the same pictures shrunk to the latent's sides and enlarged by cubic interpolation.
    """
    assert data.test is not None
    raw = held(data.test.raw)
    raw = raw[torch.arange(min(n, len(raw))) * len(raw) // min(n, len(raw))]
    pixels, warnings = Pixels(), list(notes)
    cubic = pixels.decode(enlarged(shrunk(pixels.encode(raw), system.network.factor), system.network.factor))
    try:
        eyes: Perceptual | None = Perceptual()
    except ReverieError as error:
        eyes = None
        warnings.append(f"no perceptual distance: {error}")

    def measured(made: torch.Tensor) -> Result:
        each = {"psnr": (psnr(made, raw), "higher", "dB")}
        if eyes is not None:
            with torch.no_grad():
                far = [eyes(pixels.encode(a), pixels.encode(b)) for a, b in zip(made.split(64), raw.split(64))]
            each["perceptual"] = (torch.cat(far), "lower", "")
        found = {name: Figure(x.double().mean().item(), (x.double().std() / len(x) ** 0.5).item(), better, unit, {})
                 for name, (x, better, unit) in each.items()}  # fmt: skip
        return Result({"samples": len(raw)}, None, None, found, warnings)

    result = measured(system.reconstruct(raw))
    result.figures["bits a pixel"] = Figure(system.bits, None, "lower", "bits", {})
    made = made_by(system, model, {"seed": 0, "scale": 1.0, "dtype": "float32"}, made="figures")
    made["data"] = {"name": data.name, "fingerprint": data.fingerprint()}
    return Evaluation(result, {"cubic": measured(cubic)}, made)


def asking(system: Any, values: Mapping[str, torch.Tensor]) -> Denoiser:
    """The system's denoiser of these conditions, without guidance and in float32."""
    rows = max((len(value) for value in values.values()), default=1)
    return system.guided(values, rows, 1.0, "float32")
