"""Bits a dimension as figures: of models that are oracles, and of one that ships."""

import json
import math

import pytest
import torch
from click.testing import CliRunner
from truth import correlated

from reverie.cli.app import app
from reverie.core.noise import Seeded
from reverie.core.schedules import Cosine
from reverie.errors import ReverieError
from reverie.metrics.base import Model, Population
from reverie.metrics.evaluate import evaluate
from reverie.metrics.nll import NLL
from reverie.metrics.vlb import VLB

N = 60
ORACLE = correlated(Cosine())


def model(encode, **options):
    return Population(model=Model(lambda values: ORACLE.given(**values), encode, N, **options))


def test_the_bits_of_floats_are_those_of_their_density_in_units_of_their_own():
    x, told = ORACLE.sample(Seeded.at(0, range(2 * N))), []
    raw = 10 * x - 3
    samples = model(lambda raw: (raw + 3) / 10, progress=lambda done, n: told.append((done, n)))
    result = evaluate(samples, Population(raw=raw), metrics=[NLL(tolerance=1e-4, probes=2, batch=40), VLB(steps=60)])
    truth = -ORACLE.log_prob(x[:N], 0.0) / 2 / math.log(2) + math.log2(10)
    nll = result.figures["nll"]
    assert nll.error == pytest.approx((truth.std() / N**0.5).item(), rel=0.2)
    assert nll.value == pytest.approx(truth.mean().item(), abs=0.1)  # what two probes of 60 samples leave
    assert truth.mean() - 0.1 < result["vlb"] < truth.mean() + 0.3  # one draw of noise a step
    assert told == [(40, N), (N, N), (N, N)] and result.counts == {"reference": 2 * N}
    assert "units of the data" in result.assumptions[2] and not result.warnings


def test_the_bits_of_levels_hold_for_the_levels_there_are_and_for_the_conditions_given():
    raw = ((ORACLE.sample(Seeded.at(0, range(N))) / 4 + 0.5).clamp(0, 1) * 15).round().mul(17).to(torch.uint8)
    weights = torch.eye(3)[torch.arange(N) % 3]
    samples, metric = model(lambda raw: (raw.float() / 127.5 - 1) * 2), NLL(tolerance=1e-3, levels=16)
    plain = evaluate(samples, Population(raw=raw), metrics=[metric])
    wrong = evaluate(samples, Population(raw=raw, values={"weights": weights}), metrics=[metric])
    entropy = -(torch.bincount(raw.flatten().long()) / raw.numel()).clamp(min=1e-9).log2() @ (
        torch.bincount(raw.flatten().long()) / raw.numel()
    )
    assert 2 < plain["nll"] < entropy + 0.3 and wrong["nll"] > plain["nll"] + 0.3
    assert "16 even levels" in plain.assumptions[2]
    with pytest.raises(ReverieError, match="2 to 256"):
        evaluate(samples, Population(raw=raw), metrics=[NLL(levels=1)])


def test_what_has_no_likelihood_says_why():
    raw = torch.randn(9, 2)
    with pytest.raises(ReverieError, match="reverie evaluate RUN"):
        evaluate(raw, raw, metrics=[NLL()])
    with pytest.raises(ReverieError, match="never varies"):
        evaluate(model(lambda raw: 0 * raw), Population(raw=raw), metrics=[NLL()])
    few = evaluate(model(lambda raw: raw), Population(raw=raw), metrics=[NLL(steps=2)])
    assert few.warnings == ["NLL: 9 samples are few: the standard error itself is unsure"]


def test_a_shipped_model_is_asked_for_its_bits_and_nothing_is_sampled(tmp_path):
    out = tmp_path / "bits.json"
    words = ["evaluate", "digits", "-n", "3", "--metric", "nll(steps=2)", "--metric", "vlb(steps=3)", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "3 reference" in done.output and "assumed: nll: 256 even levels" in done.output
    found = json.loads(out.read_text())
    assert (
        set(found["figures"]) == {"nll", "vlb"} and found["made_by"]["scale"] == 1 and "sampler" not in found["made_by"]
    )
    again = CliRunner().invoke(app, [*words[:-1], str(tmp_path / "again.json")])
    assert again.exit_code == 0 and json.loads((tmp_path / "again.json").read_text())["figures"] == found["figures"]
