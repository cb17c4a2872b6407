"""The benchmarks of quality, feeding and growth: they run to their end on little, and stop where a peer is missing."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import faces, learning, memory, pipeline, precision, sampling, scaling, time_to_quality  # noqa: E402
from benchmarks.quality_peers import EVALUATED, PEERS, Serving  # noqa: E402
from reverie.data import builtin  # noqa: E402
from reverie.recipes.fashion_mnist import FashionMNIST  # noqa: E402


def test_every_choice_of_learning_is_one_that_the_recipe_takes():
    """Options that exclude each other, as noise prediction and a schedule that ends in noise alone, are refused there."""
    data = builtin.load("fashion_mnist")
    for change in learning.CHANGES.values():
        recipe = FashionMNIST(samples=learning.SAMPLES, minutes=None, dtype="float32", compile="off", **change)
        recipe.checked()
        system = recipe.system(data)
        recipe.loss(system)
        for name, value in change.items():
            assert getattr(recipe, name) == value != getattr(FashionMNIST(), name)


def test_the_estimate_of_memory_is_measured(monkeypatch, capsys):
    """In a process of its own, as the rows of the page are; what libraries take within an operation is no fifth of it."""
    small = ("unet(levels=(8, 8), blocks=1, groups=8)", "float32", False)
    code = f"import sys; from benchmarks import memory; memory.CASES, memory.BATCH = {{'small': {small!r}}}, 24; memory.main()"
    done = subprocess.run([sys.executable, "-c", code, "small"], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    estimate, taken = json.loads(done.stdout)
    assert estimate > 50 and abs(taken / estimate - 1) < 0.2
    monkeypatch.setattr(memory.sys, "argv", ["memory"])
    answer = subprocess.CompletedProcess([], 0, "[1000, 2000]")
    monkeypatch.setattr(memory.subprocess, "run", lambda *arguments, **options: answer)
    memory.main()
    assert capsys.readouterr().out.count("| 1,000 | 2,000 |") == len(memory.CASES)


def test_what_bfloat16_costs_is_measured(tmp_path, monkeypatch, capsys):
    """One training to its figure; then the comparison of figures that are known."""
    tiny = FashionMNIST(network="unet(levels=(8, 16), blocks=1, groups=8)")
    monkeypatch.setattr(precision, "FashionMNIST", lambda: tiny)
    value = precision.figure(argparse.Namespace(work=tmp_path, samples=64, n=32), "bfloat16", 1)
    told = json.loads((tmp_path / "bfloat16-64-1" / "recipe.json").read_text())["options"]
    assert value > 0.1 and (told["dtype"], told["seed"], told["samples"]) == ("bfloat16", 1, 64)

    known = {("float32", 0): 1.0, ("float32", 1): 3.0, ("bfloat16", 0): 3.0, ("bfloat16", 1): 5.0}
    monkeypatch.setattr(precision, "figure", lambda given, dtype, seed: known[dtype, seed])
    out = tmp_path / "precision.json"
    monkeypatch.setattr(sys, "argv", ["precision", "--seeds", "2", "--out", str(out)])
    precision.main()
    found = json.loads(out.read_text())
    assert (found["difference"], found["share"]) == (2.0, 1.0) and found["standard_error"] == pytest.approx(2**0.5)
    assert "bfloat16 less float32: +2.00000 ± 1.41421, +100.0%" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["diffusers", "azula"])
def test_a_peer_trains_and_samples_and_both_states_are_kept(name, tmp_path):
    raw = np.random.default_rng(0).integers(0, 256, (64, 1, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "pictures.npy", raw)
    serving = Serving(name, "float32", tmp_path / "pictures.npy")
    assert 3e6 < serving.size() < 3.5e6
    first = {key: value.clone() for key, value in serving.peer.network.state_dict().items()}
    losses = serving.train(1e-3, 3, {"2": str(tmp_path / "two.pt"), "3": str(tmp_path / "three.pt")})
    assert list(losses) == ["2", "3"] and all(np.isfinite(one) for one in losses.values())
    two, three = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("two", "three"))
    changed = [not three["raw"][key].equal(value) for key, value in first.items() if value.is_floating_point()]
    assert any(changed) and not all(two["raw"][key].equal(three["raw"][key]) for key in first)
    assert not all(three["averaged"][key].equal(three["raw"][key]) for key in first)
    serving.sample(str(tmp_path / "three.pt"), "averaged", 2, 2, str(tmp_path / "made.npy"))
    made = np.load(tmp_path / "made.npy")
    assert made.shape == (2, 28, 28) and made.dtype == np.uint8


def test_an_average_of_diffusers_is_that_of_its_own():
    peer = PEERS["diffusers"]()
    peer.after()
    with torch.no_grad():
        for p in peer.network.parameters():
            p.add_(1.0)
    peer.after()
    one = next(iter(peer.ema.shadow_params))
    assert next(peer.averaged.parameters()).equal(one) and EVALUATED == ("raw", "averaged")


def test_without_the_environment_of_a_peer_nothing_is_done(tmp_path):
    done = subprocess.run([sys.executable, "-m", "benchmarks.time_to_quality", str(tmp_path / "work")], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1 and "denoising-diffusion-pytorch is missing" in done.stderr


def test_a_stage_is_done_once(tmp_path):
    work = time_to_quality.Work.__new__(time_to_quality.Work)
    work.folder = tmp_path
    assert work.done("one", lambda: {"a": 1}) == {"a": 1} == work.done("one", lambda: pytest.fail("twice"))


def test_of_sampling_what_was_measured_is_written_and_the_quickest_at_a_distance_is_found(tmp_path):
    work = time_to_quality.Work.__new__(time_to_quality.Work)
    work.folder = tmp_path
    (tmp_path / "sampling-ours-unipc-8.json").write_text("1.5")
    assert sampling.distances(work, None, None, done=True) == {"ours": {"unipc 8": 1.5}}
    points = {"ddim 4": 9.0, "ddim 5": 4.0, "unipc 5": 3.0, "unipc 8": 2.0}
    quickest = [sampling.fastest(points, 0.01, most) for most in (10.0, 4.0, 3.5, 2.0, 1.9)]
    assert quickest == [("ddim 4", 25.0), ("ddim 5", 20.0), ("unipc 5", 20.0), ("unipc 8", 12.5), None]
    theirs = {"one": {"ddim 5": 5.0, "ddim 8": 3.0, "heun 8": 3.5}, "two": {"ddim 5": 1.9}}
    rows = sampling.compared({"ours": points, **theirs}, {"ours": 0.01, "one": 0.02, "two": 0.1})
    assert [(row["peer"], row["theirs"][0], row["ours"]) for row in rows] == [
        ("two", "ddim 5", None), ("one", "ddim 8", ("unipc 5", 20.0)), ("one", "ddim 5", ("ddim 5", 20.0))]  # fmt: skip
    assert [round(row["theirs"][1], 6) for row in rows] == [2.0, 6.25, 10.0]
    assert [sampling.evaluations("heun", n) for n in (5, 8)] == [5, 7] and sampling.evaluations("ddim", 8) == 8


def test_distances_are_those_of_our_metric():
    eyes = time_to_quality.Eyes()
    assert eyes(eyes.train[:512]) < 1 < eyes(255 - eyes.train[:512])


def test_feeding_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "argv", ["pipeline", "--files", "256", "--rounds", "1", "--seconds", "0", "--threads", "1",
                                      "--out", str(tmp_path / "found.json")])  # fmt: skip
    pipeline.main()
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["speeds"]) == 8 and all(one[0] > 0 for one in found["speeds"].values()) and found["decoding"] > 0


def test_an_exponent_is_the_slope_at_the_end():
    assert scaling.exponent({1: [9.0], 16: [1.0, 2.0, 9.0], 64: [32.0]}) == pytest.approx(2.0)
    assert scaling.seconds_of({"side": 16, "batch": 2, "channels": 16, "threads": 1}, 0.0) > 0


class Sees(torch.nn.Module):
    """Finds the face whose number a picture is painted with; smiling where it is asked to be wrong."""

    def __init__(self, told, wrong):
        super().__init__()
        self.values = faces.values(told)
        self.values[wrong, 0] = (self.values[wrong, 0] + 1) % faces.COUNTS[0]

    def forward(self, x):
        rows = self.values[((x[:, 0, 0, 0] + 1) * 127.5).round().long()]
        return torch.cat([torch.nn.functional.one_hot(one, n).float() for one, n in zip(rows.T, faces.COUNTS)], 1)


def test_agreement_of_faces_counts_attributes_pairs_and_whole_faces():
    told = faces.faces.chosen(40, 3, apart=True)
    raw = torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(40, 3, 32, 32)
    assert set(faces.agreement(Sees(told, []), raw, told).values()) == {1.0}
    apart = [any("expression" in value for pair in faces.faces.kept_apart(face) for value in pair) for face in told]
    assert 0 < sum(apart) < 40
    wrong = apart.index(True)
    found = faces.agreement(Sees(told, [wrong]), raw, told)
    pairs = sum(len(faces.faces.kept_apart(face)) for face in told)
    missed = sum("expression" in " ".join(pair) for pair in faces.faces.kept_apart(told[wrong]))
    assert found["attributes"] == pytest.approx(1 - 1 / 240) and found["all_six"] == pytest.approx(1 - 1 / 40)
    assert found["expression"] == pytest.approx(1 - 1 / 40) and found["head"] == 1
    assert found["both_of_pair"] == pytest.approx(1 - missed / pairs)
    assert found["pair"] == pytest.approx(1 - missed / (2 * pairs))
