"""The benchmarks of posteriors, samplers, guidance, edits, texts and going on: each runs to its end on little."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reverie.data.get import fetched
from reverie.metrics.retrieval import Retrieval
from reverie.recipes.digits import Digits

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import (
    editing,
    emoji,
    going_on,
    guidance,
    guidance_page,
    posterior,
    posterior_problems,
    samplers,
    scan_folder,
)


@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # which azula uses
@pytest.mark.parametrize(("library", "share"), [("ours", 0.6), ("azula", 1.0)])
def test_every_method_draws_from_the_plane(library, share):
    """Nearer than what never looked at the measurement is: measured at most 0.49 and 0.65 of that."""
    plane = replace(posterior_problems.plane(), samples=64, steps=32)
    methods = posterior.OURS if library == "ours" else posterior.azula()
    found = {name: posterior.measured(plane, method, 2) for name, method in methods.items()}
    prior = plane.distance(posterior.prior(plane))
    assert all(figures["distance"] < share * prior and figures["error"] > 0 for figures in found.values())


@pytest.mark.slow
def test_every_sampler_is_measured_and_those_of_higher_order_are_nearer():
    found = samplers.measure((2, 2, 2), ["Karras"], [8, 32])
    entries = {name: entry["Karras"] for name, entry in found["entries"].items()}
    assert all(set(entry) <= {"8", "32"} for entry in entries.values())
    assert all(len(errors) == len(found["problems"]) for entry in entries.values() for errors in entry.values())
    assert {entry["library"] for entry in found["entries"].values()} == {"reverie", "diffusers", "azula"}
    mean = {name: sum(entry["32"]) for name, entry in entries.items() if "32" in entry}
    assert mean["dpmpp2m"] < mean["ddim"]
    assert samplers.merged([found])["entries"] is found["entries"]


@pytest.mark.slow
def test_each_way_to_guide_is_measured_once(tmp_path, monkeypatch):
    """The model itself in place of the weak network: guided away from itself, it gives what it gives by itself."""
    monkeypatch.setattr(guidance_page, "DATA", tmp_path / "guidance.json")
    weak = Path(guidance.reverie.__file__).parent / "models" / "fashion_mnist"
    guidance.measure(16, 2, weak, (3.0,))
    text = guidance_page.DATA.read_text()
    found = json.loads(text)["figures"]
    assert set(found) == {"none", *guidance.METHODS}
    itself, guided = found["none"]["1.0"], found["classifier-free"]["3.0"]
    assert found["autoguidance"]["3.0"]["frechet"] == pytest.approx(itself["frechet"], rel=0.02)  # 0 here, and rounding
    assert guided["frechet"] != pytest.approx(itself["frechet"], rel=0.05)
    assert guided["agreement"][0] >= itself["agreement"][0]
    monkeypatch.setattr(guidance.reverie, "load", lambda name, load=guidance.reverie.load: Silent(load(name)))
    guidance.measure(16, 2, weak, (3.0,))
    assert guidance_page.DATA.read_text() == text


class Silent:
    """A system that makes nothing."""

    def __init__(self, system):
        self.defaults, self.weights_hash = system.defaults, system.weights_hash


def test_the_loss_of_what_was_taken_over_is_less_than_at_random():
    random, begun = going_on.losses(replace(Digits(), source="digits"))
    assert begun < 0.5 < random


def test_inversion_is_nearer_with_more_steps_and_of_a_higher_order(monkeypatch):
    monkeypatch.setattr(editing, "COUNT", 4)
    monkeypatch.setattr(editing, "STEPS", (5, 10))
    errors = editing.inversion("float32")
    assert all(errors[name][10] < errors[name][5] for name in editing.SAMPLERS)
    assert errors["rk4"][10] < errors["heun"][10] < errors["ddim"][10]


@pytest.mark.skipif(
    not all(map(fetched, ("emoji_google", "emoji_names", "minilm", "efficientnet_lite0"))),
    reason="reverie data get emoji, minilm, efficientnet_lite0",
)
def test_emoji_are_made_measured_and_drawn(tmp_path, monkeypatch):
    for name, value in dict(MOST=6, TRIED=6, EACH=1, PROMPTS=("red heart",), SCALES=(2.0, 3.0)).items():
        monkeypatch.setattr(emoji, name, value)
    monkeypatch.setattr(emoji, "PAGE", tmp_path / "emoji.json")
    monkeypatch.setattr(emoji, "PICTURES", tmp_path)
    monkeypatch.setattr(sys, "argv", ["emoji", "emoji", "--name", "tried"])
    monkeypatch.setattr(emoji, "single", lambda captions: torch.arange(6))
    monkeypatch.setattr(emoji, "Retrieval", lambda: Retrieval(among=6))
    emoji.main()
    found = json.loads((tmp_path / "emoji.json").read_text())["tried"]
    assert set(found["sweep"]) == {"2", "3"} and found["run"]["scale"] in (2.0, 3.0)
    for part in ("seen", "unseen"):
        assert 0 <= found[part]["r_precision_1"] <= 1 and found[part]["kernel_error"] > 0
    assert (tmp_path / "emoji_tried.png").stat().st_size > 1000


def test_reading_a_folder_is_timed(tmp_path, capsys):
    scan_folder.make(tmp_path / "pictures", 20, 32)
    scan_folder.report(20, tmp_path / "pictures")
    told = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in told[:3]] == [
        "listing",
        "reverie data check, start included",
        "a second load",
    ]
    assert told[3].startswith("peak memory of a load")
