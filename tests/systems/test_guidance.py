"""Guidance by name, of a system: what it is built around, what is recorded, what is refused."""

import json
from dataclasses import replace

import pytest
import torch

import reverie
from reverie import guidance as methods
from reverie.codecs.standard import Standard
from reverie.conditioning.unconditional import Unconditional
from reverie.core import grids
from reverie.core.parameterizations import Karras, LogSNR
from reverie.core.schedules import Cosine
from reverie.discover import describe, discover, plan
from reverie.errors import ReverieError
from reverie.features.classifier import Classifier
from reverie.guidance.base import Guidance
from reverie.modalities.arrays import Arrays
from reverie.nn.unet import UNet
from reverie.samplers.ddim import DDIM
from reverie.systems.diffusion import Diffusion
from reverie.systems.guiding import planned, settled
from reverie.systems.records import Record, records
from reverie.systems.replaying import replay

METHODS = discover(methods, Guidance)
NAMES = [
    "extrapolated(scale=3, interval=(-5, 9))",
    "extrapolated(weak='9', scale=2)",
    "composed(others=('8', 3), weights=(0.5, -0.5), scale=2)",
    "apg(limit=0.5)",
    "cfgzero(zeroed=-4)",
    "cfgpp",
    "classified(clean=True, weight=0.5)",
    "limited(low=-5, high=9)",
    "rescaled",
    "staticthreshold",
    "dynamicthreshold(share=0.9, range=(-1, 1))",
    "pag(layers=(1,))",
    "slg",
]
"""Every method, as a person would name it."""


@pytest.fixture(scope="module")
def digits():
    return reverie.load("digits")


def test_the_names_tried_here_are_those_of_all_methods():
    assert {plan("guidance", methods, Guidance, name).cls for name in NAMES} == set(METHODS.values())


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_chosen_by_name_recorded_and_replayed(digits, name):
    options = dict(seed=1, sample_steps=3, batch=2)
    part = digits.generate(
        2, guidance=[name, "limited(low=-1e999, high=20)"], scale=None if plain(name) else 2.0, **options
    )
    entry = json.loads(json.dumps(records(digits, "digits", part)[1]))
    record = Record.read(entry)
    assert [describe(one) for one in record.guidance] == entry["guidance"] == part.info["guidance"]
    sample = digits.modality.stored(part.raw[1])
    found = replay(sample, record, digits)
    assert found.matches and found.differing == 0 and not found.causes
    assert found.record["guidance"] == entry["guidance"]
    assert not part.raw.equal(digits.generate(2, **options).raw)


def plain(name):
    """Whether it goes around nothing, but sets a condition against none itself."""
    return "strong" in plan("guidance", methods, Guidance, name).parts


def test_scale_alone_is_extrapolation_and_nothing_new_is_recorded(digits):
    options = dict(seed=2, sample_steps=3)
    usual = digits.generate(3, scale=2.0, **options)
    for asked in (("extrapolated(scale=2)", None), ("extrapolated", 2.0), ("extrapolated(scale=2.0)", 2.0)):
        named = digits.generate(3, guidance=asked[0], scale=asked[1], **options)
        assert named.raw.equal(usual.raw) and named.info["scale"] == 2
    assert "guidance" not in usual.info and digits.generate(3, scale=1.0, **options).info["scale"] == 1
    assert digits.generate(3, guidance="limited(low=-1e999, high=99)", scale=2.0, **options).raw.equal(usual.raw)
    assert digits.generate(3, guidance=[], **options).raw.equal(digits.generate(3, **options).raw)


def test_each_method_goes_around_the_one_before(digits):
    values, n = {"label": torch.tensor([3, 4])}, 2
    around = planned(["apg(scale=4)", "rescaled(share=0.5)", "limited(low=-1, high=2)"])
    guided = digits.guided(values, n, 4.0, "float32", around)
    names = []
    while isinstance(guided, Guidance):
        names.append(type(guided).__name__)
        guided = getattr(guided, "denoiser", None)
    assert names == ["Limited", "Rescaled", "APG"]
    inner = digits.guided(values, n, 3.0, "float32", planned("pag"))
    assert type(inner.denoiser).__name__ == "Extrapolated" and inner.denoiser.scale == 3.0


@pytest.mark.parametrize("seed", range(2))
def test_a_batch_changes_rounding_alone_whatever_remembers(digits, seed):
    options = dict(seed=seed, guidance=["apg(scale=3, limit=0.3)", "limited(low=-3)", "staticthreshold"], dtype="float32",
                   sample_steps=4)  # fmt: skip
    whole = digits.generate(8, batch=8, **options).raw.int()
    for batch in (1, 3):
        gap = (digits.generate(8, batch=batch, **options).raw.int() - whole).abs()
        assert gap.max() <= 1 and (gap == 0).double().mean() >= 0.99


def agreement(system, n=80, **options):
    """How probable the shipped classifier finds the class asked for, in the mean."""
    made = system.generate(n, seed=0, sampler=DDIM(), grid=grids.Karras(10, sigma_min=0.01), dtype="float32", **options)
    p = Classifier("digits").logits(made.raw).softmax(1)
    return p.gather(1, made.values["label"][:, None]).mean().item()


def test_guidance_does_what_it_is_for(digits):
    """0.980 unguided, at least 0.985 by each of these; a condition of negative weight is kept away from."""
    plain = agreement(digits)
    for asked in ("extrapolated(scale=2)", "apg(scale=3)", "cfgzero(scale=2)", "classified(clean=True, weight=1)"):
        assert agreement(digits, guidance=asked) > plain, asked
    away = digits.generate(
        40, seed=0, condition="3", guidance="composed(others=('3',), weights=(-2.0,))", sample_steps=10
    )
    seen = Classifier("digits").labels(away.raw)
    assert (seen == 3).double().mean() < 0.3  # twice as far from the class as towards it


@pytest.mark.parametrize(
    ("asked", "scale", "says"),
    [
        ("apk", None, "Did you mean 'APG'"),
        ("apg(scal=3)", None, "Did you mean 'scale'"),
        ("apg(scale=3)", 2.0, "said twice"),
        (["limited", "apg"], None, "only the first of several"),
        (["apg"] * 9, None, "more than any sample needs"),
        ("pag(layers=(99,))", None, "has blocks 0 to"),
        ("pag(layers=3)", None, "not of the kind"),
        ("slg(layers=(-1,))", None, "and no -1"),
        ("composed(others=('8',), weights=(1, 2, 3))", None, "1 other conditions have 3 weights"),
        ("composed(others=('cat',))", None, "unknown class"),
        ("composed", None, "lacks others"),
        ("extrapolated(weak='cat')", None, "unknown class"),
        ("extrapolated(strong='3')", None, "strong is not given by text"),
        ("classified", None, "clean=True"),
        ("classified(log_prob='x')", None, "not given by text"),
        ("dynamicthreshold(share=2)", None, "share is from 0 to 1"),
        ("composed(others=(1, 2, 3, 4, 5, 6, 7, 8, 9))", None, "room for 8"),
        ("extrapolated(scale=1e30)", None, "not finite"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(digits, asked, scale, says):
    with pytest.raises(ReverieError, match=says) as error:
        digits.generate(2, guidance=asked, scale=scale, sample_steps=2)
    assert len(str(error.value)) < 400 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("apg", "must be a list"),
        ([1], "must be a list"),
        ([{"name": "os.system"}], "unknown guidance"),
        ([{"name": "APG", "scale": "x"}], "not of the kind"),
        ([{"name": "APG", "strong": {"name": "APG"}}], "cannot be made|lacks"),
        ([{"name": "APG"}] * 100, "more than any"),
        ([{"name": "PAG", "layers": [10**9]}], "more steps than any"),
        ([{"name": "Composed", "others": list(range(100))}], "room for 8"),
    ],
)
def test_a_hostile_record_of_guidance_is_refused(digits, value, says):
    part = digits.generate(1, guidance="apg", sample_steps=2)
    entry = json.loads(json.dumps(records(digits, "digits", part)[0])) | {"guidance": value}
    with pytest.raises(ReverieError, match=says):
        Record.read(entry)


def test_a_model_without_a_null_condition_takes_what_needs_none():
    system = reverie.load("digits")
    system.conditioner = replace(system.conditioner, dropout=0.0)
    for asked, scale in (("apg", None), ("rescaled", 2.0), ("cfgpp(scale=1)", None)):
        with pytest.raises(ReverieError, match="never saw none"):
            system.generate(1, guidance=asked, scale=scale, sample_steps=2)
    for asked in ("pag", "slg", "staticthreshold", "extrapolated(weak='3')"):
        assert len(system.generate(1, guidance=asked, sample_steps=2)) == 1


def test_a_model_without_conditions_or_bounds_is_guided_by_its_weaker_self():
    network = UNet(spatial=1, channels=1, levels=(8, 8), blocks=1)
    system = Diffusion(
        network, Cosine(), Karras(1.0), LogSNR(), Standard((0.0,), (1.0,)), Unconditional(), Arrays(), (1, 16)
    )
    for p in network.parameters():
        p.data += 0.1 * torch.randn_like(p)
    plain = system.generate(2, sample_steps=3).raw
    for asked in ("pag(scale=3)", "slg(scale=3)", "staticthreshold(range=(-0.1, 0.1))"):
        assert not system.generate(2, sample_steps=3, guidance=asked).raw.equal(plain)
    for asked, says in (
        ("apg", "knows no conditions"),
        ("extrapolated(weak='3')", "knows no conditions"),
        ("staticthreshold", r"say staticthreshold\(range="),
        ("classified(clean=True)", "needs a classifier"),
    ):
        with pytest.raises(ReverieError, match=says):
            system.generate(1, guidance=asked, sample_steps=2)


def test_the_scale_of_a_method_is_that_of_the_command():
    plans, scale = settled("apg", 5.0, 1.0)
    assert plans[0].whole["scale"] == scale == 5.0
    assert (
        settled("apg", None, 1.0)[1] == 3.0
        and settled("pag", None, 1.5)[1] == 1.5
        and settled(None, None, 1.5) == ((), 1.5)
    )


def test_a_worse_model_is_guided_away_from_recorded_and_asked_for_again(digits):
    weak = reverie.load("digits")
    for p in weak.network.parameters():
        p.data = p.data + 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    weak.weights_hash = "0" * 64
    part = digits.generate(2, scale=2.0, weak=weak, sample_steps=3, batch=2)
    assert part.info["weak"] == {"sha256": "0" * 64}
    strong, other = (s.guided(part.values, 2, 1.0, "float32") for s in (digits, weak))
    x, t = torch.randn(2, 1, 8, 8), torch.tensor(0.5, dtype=torch.float64)
    with torch.no_grad():
        found = digits.guided(part.values, 2, 2.0, "float32", (), weak)(x, t).x_hat
        torch.testing.assert_close(found, 2 * strong(x, t).x_hat - other(x, t).x_hat)
    record = Record.read(json.loads(json.dumps(records(digits, "digits", part)[0])))
    sample = digits.modality.stored(part.raw[0])
    assert replay(sample, record, digits, weak=weak).matches
    assert "weak weights are others" in replay(sample, record, digits, weak=digits).causes[0]
    with pytest.raises(ReverieError, match="--weak RUN"):
        replay(sample, record, digits)


def test_another_model_that_does_not_belong_is_refused(digits):
    for options, says in (
        ({"scale": 2.0, "weak": reverie.load("fashion_mnist")}, "cannot guide this one"),
        ({"scale": 1.0, "weak": digits}, "scale 1 is no guidance"),
        ({"guidance": "apg(weak='3')", "weak": digits}, "said twice"),
    ):
        with pytest.raises(ReverieError, match=says):
            digits.generate(1, sample_steps=2, **options)
