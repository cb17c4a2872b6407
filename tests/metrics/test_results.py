"""Figures come with all they depend on; the ladder spoils data by known amounts."""

import json

import pytest
import torch
from truth import gaussian

from reverie import metrics
from reverie.core.schedules import Cosine
from reverie.discover import construct, variants
from reverie.errors import ReverieError
from reverie.features.classifier import Classifier
from reverie.features.pixels import Pixels
from reverie.metrics import Metric, Population, evaluate, ladder
from reverie.metrics.agreement import Agreement
from reverie.metrics.base import Model
from reverie.metrics.copying import Copying
from reverie.metrics.frechet import Frechet
from reverie.metrics.ladder import blurred, noisy, rungs, subset

ALL = variants(metrics, Metric)
each_metric = pytest.mark.parametrize("metric", ALL, ids=lambda metric: type(metric).__name__)


def pictures(n, seed=0, size=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 1, size, size), dtype=torch.uint8, generator=generator)


SAMPLES, REAL, TRAIN = pictures(140, 0), pictures(150, 1), pictures(200, 2)
MODEL = Model(lambda values: gaussian(Cosine(), 0.5, 8), lambda raw: raw.float() / 127.5 - 1, count=4)


@each_metric
def test_a_metric_does_not_depend_on_the_order_of_samples(metric):
    asked = torch.arange(140) % 10

    def figures(order):
        sides = [Population(raw=raw, features=raw.flatten(1).double()) for raw in (REAL, TRAIN)]
        one = Population(
            raw=SAMPLES[order],
            features=SAMPLES[order].flatten(1).double(),
            asked=asked[order],
            predicted=asked[order] // 2,
            model=MODEL,
        )
        return metric.measure(one, *sides)

    there, back = figures(torch.arange(140)), figures(torch.arange(140).flip(0))
    assert {k for k in there if not k.endswith("_error")} <= set(back)
    for name in there:
        if not name.endswith("_error"):
            assert back[name] == pytest.approx(there[name], rel=1e-9)


@each_metric
def test_a_metric_says_what_it_is_and_can_be_written_down(metric):
    assert metric.better in ("lower", "higher") and metric.unit and metric.minimum(64) > 0
    assert set(metric.needs) <= {"features", "raw", "train", "asked", "model"}
    samples = Population(raw=SAMPLES, model=MODEL)
    result = evaluate(
        samples, REAL, TRAIN, metrics=[metric], asked=torch.arange(140) % 10, classifier=Classifier("digits")
    )
    for figure in json.loads(json.dumps(result.as_dict(), allow_nan=False))["figures"].values():
        assert construct("metric", metrics, Metric, figure["metric"]) == metric


def test_everything_that_the_populations_allow_is_measured():
    alone = evaluate(SAMPLES, REAL)
    assert {"frechet", "kernel", "precision", "recall", "density", "coverage"} == set(alone.figures)
    assert {"copying", "original"} == set(evaluate(SAMPLES, REAL, TRAIN).figures) - set(alone.figures)
    labelled = evaluate(SAMPLES, REAL, asked=torch.zeros(140, dtype=torch.long), classifier=Classifier("digits"))
    assert set(labelled.figures) - set(alone.figures) == {"agreement"}
    assert alone.counts == {"samples": 140, "reference": 150}
    assert alone.extractor == {"name": "pixels", "hash": Pixels((1, 8, 8)).hash, "dim": 64}
    assert alone.figures["frechet"].error > 0 and "frechet_error" not in alone.figures


def test_an_extractor_that_classifies_tells_the_classes_too():
    result = evaluate(SAMPLES, REAL, extractor=Classifier("digits"), asked=torch.zeros(140, dtype=torch.long))
    assert result.classifier == result.extractor and "agreement" in result.figures


def test_no_features_are_taken_where_no_metric_needs_them():
    assert evaluate(SAMPLES, REAL, TRAIN, metrics=[Copying()]).extractor is None


def test_copying_in_features_takes_features_of_all_three():
    metric = Copying(space="features")
    assert evaluate(TRAIN, REAL, TRAIN, metrics=[metric], extractor=Classifier("digits"))["copying"] == 0


def test_few_samples_are_warned_of():
    notes = evaluate(SAMPLES[:100], REAL, metrics=[Frechet()]).warnings
    assert notes == ["Frechet: 100 samples are few, figures are steady from 128 on"]
    assert evaluate(SAMPLES, REAL, metrics=[Frechet()]).warnings == []


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        (pictures(10, size=7), r"samples are \(1, 7, 7\), but reference are \(1, 8, 8\)"),
        (SAMPLES[:0], "no samples"),
        (torch.full((10, 1, 8, 8), torch.nan), "not finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(samples, match):
    with pytest.raises(ReverieError, match=match):
        evaluate(samples, REAL)


def test_agreement_without_labels_is_refused():
    with pytest.raises(ReverieError, match=r"asked|predicted"):
        evaluate(SAMPLES, REAL, metrics=[Agreement()])


def test_noise_has_the_stated_spread_and_pictures_stay_pictures():
    grey = torch.full((200, 1, 8, 8), 128, dtype=torch.uint8)
    spoiled = noisy(grey, 0.1)
    assert (
        spoiled.dtype == torch.uint8 and spoiled.equal(noisy(grey, 0.1)) and not spoiled.equal(noisy(grey, 0.1, seed=1))
    )
    assert ((spoiled.double() - 128) / 127.5).std().item() == pytest.approx(0.1, rel=0.02)
    assert noisy(grey, 0).equal(grey) and noisy(SAMPLES, 0).equal(SAMPLES)
    assert noisy(torch.zeros(4, 1, 8, 8), 5.0).abs().amax() == 1


def test_blur_is_the_mean_of_what_lies_around():
    x = torch.zeros(1, 1, 5, 5, dtype=torch.uint8)
    x[0, 0, 2, 2] = 90
    assert blurred(x)[0, 0, 1:4, 1:4].unique().tolist() == [10] and blurred(x).sum() == 90
    flat = torch.full((1, 1, 5, 5), 77, dtype=torch.uint8)
    assert blurred(flat).equal(flat)


def test_a_subset_is_seeded_and_has_no_sample_twice():
    chosen = subset(torch.arange(100), 30)
    assert chosen.equal(subset(torch.arange(100), 30)) and len(chosen.unique()) == 30
    assert subset(torch.arange(5), 30).tolist() == [0, 1, 2, 3, 4]


def test_rungs_are_train_then_noise_then_blur_at_one_count():
    steps = dict(rungs(REAL, TRAIN, 120))
    assert list(steps) == ["train", "noise 0.02", "noise 0.05", "noise 0.1", "blur 3x3"]
    assert {len(raw) for raw in steps.values()} == {120}
    assert "blur 3x3" not in dict(rungs(torch.randn(9, 4), torch.randn(9, 4), 9))


def test_rungs_are_further_the_more_they_are_spoiled():
    found = ladder(REAL, TRAIN, 150, extractor=Pixels((1, 8, 8)))
    values = [found[f"noise {std}"]["frechet"] for std in ("0.02", "0.05", "0.1")]
    assert values == sorted(values) and values[-1] < found["blur 3x3"]["frechet"]
