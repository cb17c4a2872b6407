"""Same recipe, same bytes: a recipe.json done once more, elsewhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.errors import ReverieError
from reverie.recipes import trial
from reverie.recipes.arrays import Arrays
from reverie.recipes.card import BEGIN, END, tell
from reverie.recipes.repeating import repeat

CLOCK = {"seconds", "samples_per_second"}
"""What log.jsonl says of speed; TensorBoard's events hold the same, and local.json where the data lie."""


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run with everything that makes randomness: a condition that is dropped, held-out data, micro-batches."""
    place = tmp_path_factory.mktemp("first")
    stream = np.random.default_rng(0)
    np.savez(place / "waves.npz", x=stream.normal(size=(40, 1, 8)).astype("float32"), label=np.arange(40) % 2)
    torch.set_num_threads(1)
    recipe = Arrays(data=str(place / "waves.npz"), samples=192, batch=16, micro_batch=8, dtype="bfloat16", checkpoints=2,
                    snapshots=2, held_out=8, seed=3, network="unet(levels=(16, 16), blocks=1, groups=4)")  # fmt: skip
    return recipe.run(place / "run")


def files_of(run):
    return {str(path.relative_to(run)): path for path in sorted(run.rglob("*")) if path.is_file()}


def test_the_same_recipe_gives_the_same_bytes_in_another_place_and_process(first, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(first.parent / "waves.npz", tmp_path / "other-name.npz")
    environment = {**os.environ, "HOME": str(tmp_path), "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7",
                   "OMP_NUM_THREADS": "2"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "reverie", "train", str(first / "recipe.json"), "--data", "../other-name.npz", "--out", "run"],
        cwd=tmp_path / "elsewhere", capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and "may differ" not in done.stderr, done.stderr
    ours, truth = files_of(tmp_path / "elsewhere" / "run"), files_of(first)
    apart = {"local.json", "log.jsonl"} | {name for name in [*ours, *truth] if name.startswith("events")}
    assert ours.keys() - apart == truth.keys() - apart
    kinds = {"weights", "ema", "checkpoints", "samples", "model.json", "recipe.json", "README.md"}
    assert {name.split("/")[0] for name in truth} >= kinds
    assert [name for name in truth.keys() - apart if ours[name].read_bytes() != truth[name].read_bytes()] == []
    logs = [[json.loads(line) for line in run["log.jsonl"].read_text().splitlines()] for run in (ours, truth)]
    assert [{k: v for k, v in one.items() if k not in CLOCK} for one in logs[0]] == \
           [{k: v for k, v in one.items() if k not in CLOCK} for one in logs[1]]  # fmt: skip


def test_other_data_versions_and_options_are_refused_or_said(first, tmp_path, capsys):
    np.savez(tmp_path / "waves.npz", x=np.zeros((40, 1, 8), "float32") + np.arange(8, dtype="float32"))
    with pytest.raises(ReverieError, match="not those of the recipe"):
        repeat(first / "recipe.json", tmp_path / "run", str(tmp_path / "waves.npz"))
    lone = Path(shutil.copy(first / "recipe.json", tmp_path / "recipe.json"))
    with pytest.raises(ReverieError, match="give --data PATH"):
        repeat(lone, tmp_path / "run")
    settled = json.loads(lone.read_text())
    settled["versions"]["torch"] = "1.0\x1b[2J"
    lone.write_text(json.dumps(settled))
    with pytest.raises(ReverieError, match="not those of the recipe"):
        repeat(lone, tmp_path / "run", str(tmp_path / "waves.npz"))
    said = capsys.readouterr().err
    assert "torch is" in said and "the bytes may differ" in said and "\x1b" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("recipe", "os.system", "unknown recipe"),
        ("options", [], "no recipe of a run"),
        ("options.colour", 1, "colour"),
        ("options.data", "/etc", "data"),
        ("options.batch", "64", "batch must be int"),
        ("options.batch", 1.5, "batch must be int"),
        ("options.batch", True, "batch must be int"),
        ("options.samples", None, "leaves samples open"),
        ("options.seed", None, "seed must be int"),
        ("options.network", "__import__('os')", "unknown network|cannot read network"),
        ("options.learning_rate", -1, "learning-rate"),
        ("chosen.threads", 10**9, "threads"),
        ("chosen.smaller", [[0, 7]], "smaller must list"),
        ("chosen.smaller", [["0", 8]], "smaller must list"),
        ("chosen.smaller", 3, "smaller must list"),
        ("chosen.colour", 1, "unknown choice"),
    ],
)
def test_a_hostile_recipe_is_refused(path, value, says, first, tmp_path):
    settled = json.loads((first / "recipe.json").read_text())
    *above, last = path.split(".")
    inner = settled
    for key in above:
        inner = inner[key]
    inner[last] = value
    (tmp_path / "recipe.json").write_text(json.dumps(settled))
    with pytest.raises(ReverieError, match=says):
        repeat(tmp_path / "recipe.json", tmp_path / "run", str(first.parent / "waves.npz"))
    assert not (tmp_path / "run").exists() and torch.get_num_threads() == 1


def test_a_recipe_of_a_built_in_set_needs_no_data_and_takes_none(first, tmp_path):
    settled = json.loads((first / "recipe.json").read_text()) | {"recipe": "Digits"}
    for key in ("size", "axes", "strict", "channels"):  # of data that have a path
        settled["options"].pop(key, None)
    (tmp_path / "recipe.json").write_text(json.dumps(settled))
    with pytest.raises(ReverieError, match="leave out --data"):
        repeat(tmp_path / "recipe.json", tmp_path / "run", "x.npz")
    with pytest.raises(ReverieError, match="not those of the recipe"):  # found, loaded and held against the fingerprint
        repeat(tmp_path / "recipe.json", tmp_path / "run")


def test_figures_go_into_the_card_between_their_marks_and_nowhere_else(first, tmp_path):
    result = {
        "counts": {"samples": 40}, "extractor": None, "ladder": {}, "warnings": [],
        "figures": {"frechet": {"value": 1.25, "error": 0.5, "better": "lower"}},
        "made_by": {"sampler": {"name": "Heun"}, "grid": {"steps": 9}, "scale": 1.0, "dtype": "float32", "seed": 0,
                    "weights": {"name": "ema", "sha256": "a" * 64}},
    }  # fmt: skip
    shutil.copy(first / "README.md", tmp_path / "README.md")
    before = (tmp_path / "README.md").read_text()
    tell(tmp_path, result)
    tell(tmp_path, result)
    after = (tmp_path / "README.md").read_text()
    assert "| frechet | 1.25 ± 0.5 | lower |" in after and "Heun with 9 steps" in after
    assert after.split(BEGIN)[0] == before.split(BEGIN)[0] and after.split(END)[1] == before.split(END)[1]
    (tmp_path / "README.md").write_text("my own words")
    tell(tmp_path, result)
    assert (tmp_path / "README.md").read_text() == "my own words"


def test_what_memory_called_for_is_done_again(first, tmp_path):
    """Micro-batches that shrank on the way shrink at the same place, and the weights differ by that rounding alone."""
    settled = json.loads((first / "recipe.json").read_text())
    settled["chosen"]["smaller"] = [[settled["options"]["batch"], 1]]
    (tmp_path / "recipe.json").write_text(json.dumps(settled))
    data = str(first.parent / "waves.npz")
    runs = [repeat(tmp_path / "recipe.json", tmp_path / name, data) for name in ("a", "b")]
    weights = [(run / "weights" / "raw.safetensors").read_bytes() for run in (*runs, first)]
    assert weights[0] == weights[1] != weights[2]
    assert json.loads((runs[0] / "recipe.json").read_text())["chosen"] == settled["chosen"]


def test_less_free_memory_than_the_first_time_changes_nothing(first, tmp_path, monkeypatch):
    data = str(first.parent / "waves.npz")
    options = json.loads((first / "recipe.json").read_text())["options"] | {"micro_batch": None}
    before = Arrays(data=data, **options).run(tmp_path / "before")
    monkeypatch.setattr(trial, "free", lambda device: 1)
    run = repeat(before / "recipe.json", tmp_path / "run", data)
    for name in ("recipe.json", "weights/raw.safetensors"):
        assert (run / name).read_bytes() == (before / name).read_bytes()
