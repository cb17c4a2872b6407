"""What a record promises: the same sample whatever the batch, and nothing done for a record that is hostile."""

import json
import re
import time
from dataclasses import dataclass

import pytest
import torch

import reverie
from reverie.conditioning.joint import Joint
from reverie.conditioning.labels import Labels
from reverie.conditioning.scalars import Scalars
from reverie.core.grids import Karras, Resampled
from reverie.discover import describe
from reverie.errors import ReverieError
from reverie.files import parse_json
from reverie.samplers.base import Sampler
from reverie.samplers.ddim import DDIM
from reverie.samplers.ddpm import DDPM
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.samplers.euler import Euler
from reverie.systems.records import Record, asked, fingerprint, records
from reverie.systems.replaying import located, opened, replay

SAMPLERS = [(DPMpp2M(), 2.0), (DDPM(), 1.0), (Euler(churn=0.5), 2.0), (DDIM(eta=1.0), 1.0)]
"""Deterministic and stochastic, with a scale of guidance."""


@pytest.fixture(scope="module")
def digits():
    return reverie.load("digits")


@dataclass(frozen=True)
class Standing(Sampler):
    """Goes nowhere, and keeps where it stood."""

    order = 1

    def step(self, denoiser, x_t, t, s, memory, noise):
        STARTS.append(x_t.clone())
        return x_t.clamp(-1, 1), memory


STARTS: list[torch.Tensor] = []


def test_samples_start_from_the_same_noise_bit_for_bit_in_every_batch(digits):
    starts = {}
    for batch in (1, 4, 16):
        STARTS.clear()
        digits.generate(16, seed=5, sampler=Standing(), sample_steps=1, batch=batch)
        starts[batch] = torch.cat(STARTS)
    assert starts[1].equal(starts[16]) and starts[4].equal(starts[16])
    assert starts[16].flatten(1).unique(dim=0).shape[0] == 16
    STARTS.clear()
    digits.generate(index=[11], seed=5, sampler=Standing(), sample_steps=1)
    assert STARTS[0][0].equal(starts[16][11])


def agree(system, sampler, scale, dtype, steps):
    """float32 to one level and 99.9 % of pixels, bfloat16 to less than a level on average: rounding is all that differs."""
    made = {batch: system.generate(16, seed=3, sampler=sampler, scale=scale, dtype=dtype, sample_steps=steps,
                                   batch=batch).raw.int() for batch in (1, 4, 16)}  # fmt: skip
    for batch in (1, 4):
        gap = (made[batch] - made[16]).abs()
        if dtype == "float32":
            assert gap.max() <= 1 and (gap == 0).double().mean() >= 0.999
        assert gap.double().mean() < 1


@pytest.mark.parametrize(("sampler", "scale"), SAMPLERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_changes_rounding_alone(digits, sampler, scale, dtype):
    agree(digits, sampler, scale, dtype, 4)


@pytest.mark.slow
def test_a_batch_changes_rounding_alone_of_clothes_too():
    agree(reverie.load("fashion_mnist"), DDPM(), 1.5, "float32", 2)


@pytest.fixture(scope="module")
def entry(digits):
    """A record as plain data, after a trip through JSON."""
    part = digits.generate(3, seed=1, sample_steps=2, batch=3)
    return json.loads(json.dumps(records(digits, "digits", part)[2]))


def changed(entry, path, value):
    data = json.loads(json.dumps(entry))
    *above, last = path.split(".")
    inner = data
    for key in above:
        inner = inner[key]
    inner[last] = value
    return data


def test_a_record_is_read_back_whole(entry, digits):
    record = Record.read(entry)
    assert (record.index, record.seed, record.size, record.place) == (2, 1, 3, 2)
    assert record.sampler == digits.defaults.sampler and record.grid == Karras(2, sigma_min=0.01)
    assert record.condition == {"label": 2} and record.sha256 == digits.weights_hash


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("format", 2, "format 1"),
        ("made", "grid", "several samples"),
        ("weights.name", "../../secret", "names weights"),
        ("weights", "ema", "lacks weights"),
        ("dtype", "float8", "names dtype"),
        ("index", -1, "whole number"),
        ("index", 10**19, "whole number"),
        ("index", True, "whole number"),
        ("seed", 1.5, "whole number"),
        ("threads", 10**9, "whole number"),
        ("batch.size", 10**9, "whole number"),
        ("batch.place", 3, "whole number"),
        ("grid.steps", 10**12, "more steps than any"),
        ("grid.steps", -(10**12), "more steps than any"),
        ("grid", describe(Resampled(Karras(1000), 1, 10**5)), "more steps than any"),
        ("grid", {"name": "os.system", "steps": 1}, "unknown grid"),
        ("sampler", {"name": "__import__('os')"}, "unknown sampler"),
        ("sampler", {"name": "DDIM", "eta": 0.0, "colour": 1}, "colour"),
        ("sampler", "heun", "must be an object"),
        ("scale", "2", "must be a number"),
        ("condition", [1], "lacks condition"),
        ("condition", {"label": "x" * 10**6}, "numbers by name"),
        ("device", "d" * 10**6, "short text"),
        ("pixels", None, "short text"),
        ("versions", {}, "must be a short text"),
    ],
)
def test_a_hostile_record_is_refused_at_once_with_the_part_that_is_wrong(entry, path, value, says):
    started = time.perf_counter()
    with pytest.raises(ReverieError, match=says) as error:
        Record.read(changed(entry, path, value))
    assert len(str(error.value)) < 1000 and str(error.value).isprintable()
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("grid.steps", 90_000, "90,000 steps"),
        ("grid", describe(Resampled(Karras(100), 1, 400)), "steps of 3 samples"),
        ("grid.steps", "inf", "cannot be"),
        ("grid.steps", 0, "cannot be done"),
        ("grid.rho", 0.0, "cannot be done|not finite"),
        ("scale", 1e308, "cannot be done"),
        ("condition", {"label": 77}, "unknown class"),
        ("condition", {"colour": 1.0}, ""),
    ],
)
def test_a_record_that_cannot_be_done_is_an_error_and_not_a_wait(digits, entry, path, value, says):
    sample, started = torch.zeros(1, 8, 8, dtype=torch.uint8), time.perf_counter()
    if path == "condition" and not says:  # a word that the model does not know says nothing, so the pixels differ
        assert not replay(sample, Record.read(changed(entry, path, value)), digits).matches
        return
    with pytest.raises(ReverieError, match=says):
        replay(sample, Record.read(changed(entry, path, value)), digits)
    assert time.perf_counter() - started < 5


def test_text_that_is_no_record_is_refused():
    for text in ("[" * 10**5, '{"a": NaN}', '{"a": 1, "a": 2}', "\x1b[2J", "1" * 10**5):
        with pytest.raises(ReverieError) as error:
            parse_json(text, "the record")
        assert len(str(error.value)) < 300
    for data in (None, [], "text", 3, {}):
        with pytest.raises(ReverieError, match="not a record"):
            Record.read(data)


def test_conditions_are_recorded_by_the_words_that_ask_for_them_again():
    words = Joint((Labels(("cat", "3", " 1")), Scalars(("hue", "size"), (0.0, 1.0), (1.0, 2.0))))
    wanted = [{"label": None, "hue": 0.1}, {"label": "3", "size": 2}, {"label": 2}]
    values = words.parse(wanted)
    system = type("", (), {"conditioner": words})()
    again = words.parse([json.loads(json.dumps(asked(system, values, row))) for row in range(3)])
    assert again["label"].equal(values["label"])
    assert torch.equal(again["scalars"].nan_to_num(-9), values["scalars"].nan_to_num(-9))


def test_causes_are_named(digits, entry):
    part = digits.generate(3, seed=1, sample_steps=2, batch=3)
    for path, value, says in (
        ("versions.torch", "1.0", "torch is"),
        ("versions.reverie", "0.0.1\x1b[2J", r"reverie is .* now, 0.0.1\\x1b\[2J then"),
        ("weights.sha256", "0" * 64, "weights are others"),
        ("description", "0" * 64, "model.json"),
        ("device", "cpu DEFAULT", "on cpu DEFAULT then"),
        ("threads", 4096, "4096 then"),
    ):
        found = replay(part.raw[2], Record.read(changed(entry, path, value)), digits)
        assert found.matches and len(found.causes) == 1
        assert re.search(says, found.causes[0])


def test_a_sample_matches_exactly_in_its_batch_and_to_a_level_alone(digits, entry):
    sample = digits.generate(3, seed=1, sample_steps=2, batch=3).raw[2]
    record = Record.read(entry)
    whole, alone = replay(sample, record, digits), replay(sample, record, digits, alone=True)
    assert whole.matches and whole.differing == 0 and not whole.edited and whole.regenerated and alone.matches
    one_off = sample.clone()
    one_off[0, 0, 0] ^= 1
    for how in (False, True):  # a pixel that is off by one level fails in the batch, and alone too, as it was edited
        found = replay(one_off, record, digits, how)
        assert (found.differing, found.levels, found.edited, found.regenerated) == (1, 1.0, True, True)
        assert not found.matches
    honest = Record.read(changed(entry, "pixels", fingerprint(one_off)))  # recorded so: alone, rounding may explain it
    assert replay(one_off, honest, digits, alone=True).matches and not replay(one_off, honest, digits).matches


def test_a_folder_of_the_recorded_name_with_other_weights_does_not_hide_the_right_ones(
    digits, entry, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    digits.save(tmp_path / "digits", ema={name: t + 1 for name, t in digits.network.state_dict().items()})
    record = Record.read(entry)
    assert opened(record, located(record)).weights_hash == record.sha256
    assert opened(record, located(record, "digits")).weights_hash != record.sha256
    for name in ("../digits", "..", "", "\x1b[2J", "nowhere"):
        with pytest.raises(ReverieError, match="--model RUN") as error:
            located(Record.read(changed(entry, "model", name)))
        assert str(error.value).isprintable()
