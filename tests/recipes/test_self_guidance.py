"""A model without conditions is guided away from its own early self, unless told otherwise, and says so."""

import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import reverie
from reverie.cli.app import app
from reverie.errors import ReverieError
from reverie.files import load_tensors
from reverie.recipes.arrays import Arrays
from reverie.recipes.folder import Folder

NETWORK = "unet(levels=(8, 16), blocks=1, groups=4, head_size=8)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("self")
    np.save(folder / "waves.npy", np.random.default_rng(0).normal(size=(64, 1, 8, 8)).astype("float32"))
    recipe = Arrays(
        data=str(folder / "waves.npy"), samples=1024, network=NETWORK, dtype="float32", compile="off", sample_steps=4
    )
    return recipe.run(folder / "run")


def test_the_early_weights_are_the_first_snapshot_after_a_quarter(run):
    early, first = (
        load_tensors(run / "weights" / "early.safetensors"),
        load_tensors(run / "ema" / "0.050-0000000256.safetensors"),
    )
    assert all(torch.equal(early[name], one) for name, one in first.items())
    system = reverie.load(run)
    assert system.defaults.weak == "early" and system.defaults.scale == 2


def test_samples_are_guided_by_default_and_with_scale_1_are_not(run):
    system = reverie.load(run)
    guided, plain = system.generate(4), system.generate(4, scale=1.0)
    weak = reverie.load(run, "early")
    assert torch.equal(guided.raw, system.generate(4, scale=2.0, weak=weak).raw)
    assert guided.info["weak"] == {"sha256": weak.weights_hash} and "weak" not in plain.info
    assert not torch.equal(guided.raw, plain.raw)
    alone = system.generate(index=[2])
    torch.testing.assert_close(alone.raw, guided.raw[2:3], rtol=1e-4, atol=1e-4)


def test_it_is_replayed_without_being_told_and_its_early_self_must_be_the_same(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "run")
    for arguments in (["sample", "run", "-n", "2", "--out", "made"], ["replay", "made/samples.json"]):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert "2 of 2 match" in done.output
    shutil.copy("run/weights/raw.safetensors", "run/weights/early.safetensors")
    done = CliRunner().invoke(app, ["replay", "made/samples.json"])
    assert done.exit_code == 1 and "weak weights are others" in done.output


def test_edits_of_it_are_not_guided_unless_asked(tmp_path):
    levels = np.random.default_rng(0).integers(0, 255, (64, 8, 8), dtype=np.uint8)
    (tmp_path / "pictures").mkdir()
    for i, one in enumerate(levels):
        Image.fromarray(one).save(tmp_path / "pictures" / f"{i}.png")
    recipe = Folder(data=str(tmp_path / "pictures"), samples=512, network=NETWORK, dtype="float32", compile="off",
                    sample_steps=4)  # fmt: skip
    system = reverie.load(recipe.run(tmp_path / "run"))
    picture = torch.from_numpy(levels[:1])
    usual, plain, guided = (
        system.vary(picture, strength=0.6, **how).raw for how in ({}, {"scale": 1.0}, {"scale": 3.0})
    )
    assert torch.equal(usual, plain) and not torch.equal(usual, guided)


def test_a_run_whose_early_weights_are_gone_says_so(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "weights" / "early.safetensors").unlink()
    system = reverie.load(tmp_path / "run")
    with pytest.raises(ReverieError, match="no weights called 'early'"):
        system.generate(1)
    assert system.generate(1, scale=1.0).raw.isfinite().all()


def test_it_can_be_left_out(run, tmp_path):
    data = run.parent / "waves.npy"
    recipe = Arrays(data=str(data), samples=256, network=NETWORK, dtype="float32", compile="off", self_guidance=1.0)
    system = reverie.load(recipe.run(tmp_path / "run"))
    assert not system.defaults.weak and system.defaults.scale == 1
    assert not (tmp_path / "run" / "weights" / "early.safetensors").exists()
    with pytest.raises(ReverieError, match="self-guidance"):
        Arrays(data=str(data), self_guidance=-1.0).checked()
