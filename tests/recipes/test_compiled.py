"""Compiled kernels in training: chosen once, written down, and as reproducible as any."""

import json
from dataclasses import replace

import pytest
import torch

import reverie
from reverie.errors import ReverieError
from reverie.nn.compiling import why_not_compiled
from reverie.nn.unet import UNet
from reverie.recipes import trial
from reverie.recipes.digits import Digits
from reverie.recipes.session import Session
from reverie.systems import kernels
from reverie.systems.records import Record, records
from reverie.systems.replaying import replay

SMALL = Digits(samples=640, batch=32, dtype="float32", network="unet(levels=(32, 32), blocks=1, groups=8)", checkpoints=2,
               snapshots=2, warmup=64)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # its compiler uses what it deprecates
needs_compiler = pytest.mark.skipif(
    why_not_compiled(torch.device("cpu")) is not None, reason="kernels cannot be compiled here"
)


class Stopped(Exception):
    pass


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("network", [SMALL.network, "dit(width=32, depth=3, head_size=16)"])
def test_a_compiled_run_stopped_and_resumed_has_the_bytes_of_one_never_stopped(tmp_path, monkeypatch, network):
    recipe = replace(SMALL, compile="on", dtype="bfloat16", samples=320, network=network)
    whole = recipe.run(tmp_path / "whole")
    assert json.loads((whole / "recipe.json").read_text())["options"]["compile"] == "on"
    plain = Session.save

    def save(self):
        plain(self)
        raise Stopped

    monkeypatch.setattr(Session, "save", save)
    with pytest.raises(Stopped):
        recipe.run(tmp_path / "stopped")
    monkeypatch.undo()
    recipe.run(tmp_path / "stopped", resume=True)
    for name in ("weights/ema.safetensors", "weights/raw.safetensors", "recipe.json", "model.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (whole / name).read_bytes()
    assert reverie.load(whole).network.compiled is False


def test_a_short_training_tries_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "why_not_compiled", lambda device: pytest.fail("tried"))
    run = replace(SMALL, samples=64).run(tmp_path / "run")
    assert json.loads((run / "recipe.json").read_text())["options"]["compile"] == "off"


@pytest.mark.parametrize(
    ("speeds", "chosen"), [((100.0, 130.0), "on"), ((100.0, 101.0), "off"), ((100.0, 60.0), "off")]
)
def test_auto_keeps_kernels_that_gain(monkeypatch, speeds, chosen):
    monkeypatch.setattr(kernels, "why_not_compiled", lambda device: None)
    monkeypatch.setattr(trial, "speed_of", lambda recipe, data, device: speeds[recipe.compile == "on"])
    recipe = replace(SMALL, samples=None, minutes=30.0)
    settled, _ = trial.settle(recipe, recipe.loaded(), torch.device("cpu"))
    speed = speeds[chosen == "on"]
    assert settled.compile == chosen and settled.samples == -(-int(0.94 * 1800 * speed) // 32) * 32


def test_what_cannot_be_is_said(monkeypatch):
    with pytest.raises(ReverieError, match="maybe"):
        replace(SMALL, compile="maybe").checked()
    monkeypatch.setattr(kernels, "why_not_compiled", lambda device: "no compiler")
    with pytest.raises(ReverieError, match=r"no compiler.*install"):
        trial.settle(replace(SMALL, compile="on"), SMALL.loaded(), torch.device("cpu"))
    recipe = replace(SMALL, minutes=60.0, samples=10**7)
    assert trial.settle(recipe, SMALL.loaded(), torch.device("cpu"))[0].compile == "off"


@needs_compiler
def test_samples_of_compiled_kernels_are_those_of_the_others_but_for_rounding_and_replay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = reverie.load("digits")
    options = {"sample_steps": 6, "dtype": "float32"}
    one, other = digits.generate(4, **options), digits.generate(4, compiled=True, **options)
    assert (one.raw.int() - other.raw.int()).abs().max() <= 1 and not digits.network.compiled
    assert other.info["compiled"] is True and "compiled" not in one.info
    record = Record.read(json.loads(json.dumps(records(digits, "digits", other)[0])))
    assert record.compiled and replay(digits.modality.stored(other.raw[0]), record, digits).matches


def test_a_network_without_kernels_says_so():
    sketch = UNet(1, 1, levels=(8,), groups=4)
    with pytest.raises(ReverieError, match="no kernels to compile"):
        kernels.check_compiles(sketch, torch.device("cpu"))
