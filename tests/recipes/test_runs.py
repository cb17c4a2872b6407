"""A run: reproducible, resumable after any death, and never half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import reverie
import reverie.files
from reverie.errors import ReverieError
from reverie.recipes.arrays import Arrays
from reverie.recipes.digits import Digits
from reverie.recipes.evaluating import data_of, evaluate_run
from reverie.recipes.folder import Folder
from reverie.recipes.shipping import ship

SMALL = Digits(samples=640, batch=32, dtype="float32", network="unet(levels=(32, 32), blocks=1, groups=8)", checkpoints=4,
               snapshots=4, warmup=64)  # fmt: skip
COMPARED = ("weights/ema.safetensors", "weights/raw.safetensors", "model.json", "recipe.json")


def contents(run: Path) -> dict[str, bytes]:
    """What must be equal: weights, averages, model, recipe and the last checkpoint, hash for hash."""
    last = sorted((run / "checkpoints").iterdir())[-1]
    found = [run / name for name in COMPARED] + sorted((run / "ema").iterdir()) + sorted(last.iterdir())
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return SMALL.run(tmp_path_factory.mktemp("whole") / "run")


def test_a_run_is_a_folder_that_describes_itself(whole):
    names = {path.name for path in whole.iterdir()}
    assert names >= {"model.json", "recipe.json", "weights", "ema", "checkpoints", "samples", "log.jsonl", "README.md"}
    assert not list(whole.rglob(".*"))
    reports = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert reports[-1]["seen"] == 640 and reports[-1]["loss"] < reports[0]["loss"]
    for text in [(whole / name).read_text() for name in ("model.json", "recipe.json", "README.md")]:
        assert str(whole.parent) not in text  # no path of this machine
    assert len(list((whole / "samples").glob("*-ema.png"))) == 4


def test_the_same_recipe_gives_the_same_bytes(whole, tmp_path):
    settled = json.loads((whole / "recipe.json").read_text())
    again = Digits(**settled["options"]).run(tmp_path / "again")
    assert contents(again) == contents(whole)


def test_killed_anywhere_it_resumes_to_the_same_bytes(whole, tmp_path):
    run = tmp_path / "killed"
    code = (
        "from pathlib import Path; import torch; from reverie.recipes.digits import Digits; "
        f"torch.set_num_threads(1); {SMALL!r}.run(Path({str(run)!r}))"
    )
    for checkpoint, delay in ((1, 0.0), (2, 0.35)):
        resume = [sys.executable, "-m", "reverie", "train", "--resume", str(run)]
        command = resume if run.exists() else [sys.executable, "-c", code]
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        place, until = run / "checkpoints", time.monotonic() + 120
        while len([p for p in place.glob("*") if p.name.isdigit()]) < checkpoint and time.monotonic() < until:
            assert child.poll() is None, "ended before it was killed"
            time.sleep(0.02)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not (run / "samples" / "00000640-ema.png").exists()
    subprocess.run([sys.executable, "-m", "reverie", "train", "--resume", str(run)], check=True,
                   capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    ours, truth = contents(run), contents(whole)
    assert ours.keys() == truth.keys()
    assert [name for name in truth if ours[name] != truth[name]] == []
    assert not list(run.rglob("*.tmp"))


def test_a_sample_is_the_same_alone_in_any_batch_and_by_any_average(whole):
    system = reverie.load(whole)
    together = system.generate(6, seed=3, sample_steps=4, batch=4)
    alone = system.generate(index=[5], seed=3, sample_steps=4)
    gap = (alone.raw[0].int() - together.raw[5].int()).abs()
    assert gap.max() <= 1 and (gap == 0).float().mean() > 0.95  # rounding of the batch's products
    assert alone.values["label"].item() == together.values["label"][5].item() == 5
    saved, rebuilt = system.network.state_dict(), reverie.load(whole, average=0.1).network.state_dict()
    for name in saved:
        torch.testing.assert_close(rebuilt[name], saved[name], rtol=1e-3, atol=1e-4)


def test_conditions_and_guidance_are_what_was_asked_or_refused_with_the_reason(whole):
    system = reverie.load(whole)
    assert system.generate(4, condition="7", sample_steps=2).values["label"].tolist() == [7] * 4
    assert system.generate(3, condition=["1", "nine", None][:1], sample_steps=2).values["label"].tolist() == [1] * 3
    with pytest.raises(ReverieError, match="unknown class"):
        system.generate(1, condition="cat")
    guided, plain = (system.generate(2, seed=1, sample_steps=3, scale=s, dtype="float32").raw for s in (4.0, 1.0))
    assert not guided.equal(plain)


def test_a_model_that_never_saw_the_null_condition_is_not_guided(tmp_path):
    run = replace(SMALL, samples=64, dropout=0.0, checkpoints=1).run(tmp_path / "run")
    with pytest.raises(ReverieError, match="never saw"):
        reverie.load(run).generate(1, scale=2.0)
    with pytest.raises(ReverieError, match="without a class"):
        reverie.load(run).generate(1, condition=None)


def test_figures_of_a_run_say_what_made_them(whole):
    data, notes = data_of(str(whole))
    found = evaluate_run(reverie.load(whole), data, n=40, names=["frechet", "agreement"], extractor="pixels",
                         sample_steps=3, rungs=True).as_dict()  # fmt: skip
    assert not notes and found["counts"]["samples"] == 40 and found["warnings"]
    assert found["made_by"]["grid"]["steps"] == 3 and len(found["made_by"]["weights"]["sha256"]) == 64
    assert found["extractor"]["name"] == "pixels" and found["figures"].keys() >= {"frechet", "agreement"}
    ladder = [found["ladder"][rung]["frechet"] for rung in ("noise 0.02", "noise 0.05", "noise 0.1")]
    assert ladder == sorted(ladder) and ladder[-1] < found["figures"]["frechet"]["value"]


def pictures(folder: Path, n=24):
    from PIL import Image

    stream = np.random.default_rng(0)
    for kind, colour in (("red", (200, 30, 30)), ("blue", (20, 40, 220))):
        (folder / kind).mkdir(parents=True)
        for i in range(n // 2):
            noise = stream.integers(0, 40, (16, 16, 3))
            Image.fromarray((noise + colour).clip(0, 255).astype("uint8")).save(folder / kind / f"{i}.png")
    return folder


def test_a_folder_of_colour_pictures_needs_no_option(tmp_path):
    recipe = Folder(data=str(pictures(tmp_path / "shots")), samples=64, batch=16, dtype="float32", checkpoints=1,
                    snapshots=1, network="unet(levels=(32, 32), blocks=1)")  # fmt: skip
    run = recipe.run(tmp_path / "run")
    system = reverie.load(run)
    assert system.shape == (3, 16, 16) and system.conditioner.classes == ("blue", "red")
    made = system.generate(2, condition="red", sample_steps=3)
    assert made.raw.shape == (2, 3, 16, 16) and made.raw.dtype == torch.uint8
    with pytest.raises(ReverieError, match="not empty"):
        recipe.run(run)


@pytest.mark.parametrize("shape", [(20, 2, 16), (12, 1, 4, 6, 5)])
def test_arrays_of_any_number_of_axes_keep_their_range(shape, tmp_path):
    x = np.random.default_rng(0).normal(100.0, 7.0, shape).astype("float32")
    np.save(tmp_path / "x.npy", x)
    recipe = Arrays(data=str(tmp_path / "x.npy"), samples=128, batch=16, dtype="float32", checkpoints=1, snapshots=1,
                    network="unet(levels=(16, 16), blocks=1, groups=4)")  # fmt: skip
    made = reverie.load(recipe.run(tmp_path / "run")).generate(8, sample_steps=6)
    assert made.raw.shape == (8, *shape[1:]) and made.raw.dtype == torch.float32
    assert 80 < made.raw.mean() < 120


def test_nothing_is_left_of_a_run_that_could_not_start(tmp_path):
    for broken, says in (
        (replace(SMALL, network="unet(levels=(32,), colour=1)"), "colour"),
        (replace(SMALL, schedule="cosin"), "Did you mean 'Cosine'"),
        (replace(SMALL, parameterization="noise"), r"Velocity\(\)"),
        (replace(SMALL, learning_rate=-1.0), "learning-rate"),
        (replace(SMALL, micro_batch=7), "whole number"),
        (Folder(data=str(tmp_path / "nowhere")), "not a folder"),
        (Arrays(data=str(tmp_path / "nowhere.npy")), "does not exist"),
    ):
        with pytest.raises(ReverieError, match=says):
            broken.run(tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_training_that_diverges_stops_and_leaves_the_last_good_model(tmp_path):
    x = np.random.default_rng(0).normal(size=(64, 1, 8)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    recipe = Arrays(data=str(tmp_path / "x.npy"), samples=4096, batch=32, dtype="float32", learning_rate=1e30,
                    network="unet(levels=(16, 16), blocks=1, groups=4)")  # fmt: skip
    with pytest.raises(ReverieError, match="not a finite number"):
        recipe.run(tmp_path / "run")
    for path in (tmp_path / "run").rglob("*.safetensors"):
        assert all(t.isfinite().all() for t in reverie.files.load_tensors(path).values())


def test_other_data_than_those_of_the_run_are_refused_on_resume(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 1, 8)).astype("float32"))
    recipe = Arrays(data=str(tmp_path / "x.npy"), samples=64, batch=16, dtype="float32", checkpoints=1,
                    network="unet(levels=(16, 16), blocks=1, groups=4)")  # fmt: skip
    run = recipe.run(tmp_path / "run")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(40, 1, 8)).astype("float32"))
    with pytest.raises(ReverieError, match="not those"):
        recipe.run(run, resume=True)


def small_training(out, *more):
    return [sys.executable, "-m", *more, "reverie", "train", "digits", "--samples", "640", "--batch", "32", "--dtype",
            "float32", "--network", "unet(levels=(32, 32), blocks=1, groups=8)", "--checkpoints", "4", "--snapshots", "4",
            "--warmup", "64", "--out", str(out)]  # fmt: skip


def test_ctrl_c_saves_and_says_how_to_go_on(whole, tmp_path):
    run = tmp_path / "run"
    child = subprocess.Popen(small_training(run), stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    until = time.monotonic() + 120
    while not (run / "log.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 0 and f"--resume {run}" in said, said
    assert (run / "weights" / "ema.safetensors").exists()
    subprocess.run([sys.executable, "-m", "reverie", "train", "--resume", str(run)], check=True, capture_output=True,
                   env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert (run / "weights" / "raw.safetensors").read_bytes() == (whole / "weights" / "raw.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_train_the_same_model_as_one(whole, tmp_path):
    """Sums of gradients are taken in another order, so the weights agree to rounding."""
    run = tmp_path / "run"
    launched = small_training(run, "torch.distributed.run", "--nproc_per_node", "2", "-m")
    subprocess.run(launched, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    ours, truth = (reverie.files.load_tensors(one / "weights" / "raw.safetensors") for one in (run, whole))
    for name in truth:
        torch.testing.assert_close(ours[name], truth[name], rtol=0, atol=2e-3)


def test_a_shipped_run_is_half_the_size_and_gives_the_same_pictures(whole, tmp_path):
    small = ship(whole, tmp_path / "small")
    size = lambda run: (run / "weights" / "ema.safetensors").stat().st_size
    assert size(small) < 0.55 * size(whole) and not (small / "local.json").exists()
    a, b = (reverie.load(run).generate(8, sample_steps=6, dtype="float32").raw.int() for run in (small, whole))
    assert (a - b).abs().float().mean() < 1.0  # of 255 levels: float16 keeps three digits
    with pytest.raises(ReverieError, match="exists"):
        ship(whole, tmp_path / "small")
