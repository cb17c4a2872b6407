"""Gaussians of the data: fitted by training, kept in the run, begun with when that is asked for, and said by samples."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import reverie
from reverie.cli import main
from reverie.core.gaussians import Gaussians
from reverie.core.noise import Seeded
from reverie.errors import ReverieError
from reverie.files import load_tensors, save_tensors
from reverie.metrics.base import Population
from reverie.metrics.frechet import Frechet
from reverie.recipes.arrays import Arrays
from reverie.recipes.digits import Digits
from reverie.recipes.gaussians import fitted
from reverie.recipes.shipping import ship
from reverie.systems.diffusion import GAUSSIANS
from reverie.systems.records import Record, records
from reverie.systems.replaying import replay

SMALL = Digits(samples=128, batch=32, dtype="float32", network="unet(levels=(16, 16), blocks=1, groups=4)", checkpoints=1,
               snapshots=0, warmup=32)  # fmt: skip
STEPS = {"start": "gaussian", "sample_steps": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return SMALL.run(tmp_path_factory.mktemp("gaussians") / "run")


def test_a_run_holds_one_of_each_class_and_begins_with_it(run):
    system, data = reverie.load(run), SMALL.dataset()
    known = Gaussians.of(load_tensors(run / GAUSSIANS), 64, 10)
    assert len(known) == 10 and known.sha256 == fitted(system, data).sha256
    z, label = system.codec.encode(data.raw).flatten(1), data.values["label"]
    torch.testing.assert_close(known.means, torch.stack([z[label == i].mean(0) for i in range(10)]), rtol=0, atol=1e-5)
    # an untrained network guesses little, so that one step of it shows what it began with
    near = system.generate(40, condition="3", start="gaussian", sample_steps=1, dtype="float32")
    far = (system.codec.encode(near.raw).flatten(1).mean(0)[None] - known.means).norm(dim=1)
    assert far.argmin() == 3


def test_another_batch_or_company_begins_alike_and_so_does_none_by_chance(run):
    system = reverie.load(run)
    together = system.generate(7, seed=2, dtype="float32", **STEPS).raw.int()
    parts = system.generate(7, seed=2, batch=2, dtype="float32", **STEPS).raw.int()
    alone = system.generate(index=[4], seed=2, condition=[4], dtype="float32", **STEPS).raw.int()
    assert (together - parts).abs().max() <= 1 and (together[4:5] - alone).abs().max() <= 1
    which = [int(system.gaussian_of({"label": torch.tensor([-1])}, Seeded.at(5, [i]))) for i in range(300)]
    again = system.gaussian_of({"label": torch.full((300,), -1)}, Seeded.at(5, range(300)))
    assert again.tolist() == which
    # 300 draws of ten classes of about a tenth each: 30 of each but for 5.2, four times which is allowed
    assert all(9 < which.count(i) < 51 for i in range(10))
    given = system.gaussian_of({"label": torch.tensor([3, -1, 7])}, Seeded.at(5, [0, 1, 2]))
    assert given[0] == 3 and given[2] == 7


def test_a_sample_says_what_it_began_with_and_is_made_again(run, tmp_path):
    system = reverie.load(run)
    made, plain = system.generate(3, **STEPS), system.generate(3, sample_steps=3)
    assert made.info["gaussians"] == {"sha256": system.gaussians.sha256} and "gaussians" not in plain.info
    assert made.info["grid"]["whole"] is False and made.info["grid"]["steps"] == 3
    record = Record.read(json.loads(json.dumps(records(system, "run", made)[1])))
    done = replay(system.modality.stored(made.raw[1]), record, system)
    assert done.matches and not done.causes
    copy = shutil.copytree(run, tmp_path / "copy")
    tensors = load_tensors(copy / GAUSSIANS)
    save_tensors(copy / GAUSSIANS, {**tensors, "means": tensors["means"] + 0.5})
    other = replay(system.modality.stored(made.raw[1]), record, reverie.load(copy))
    assert not other.matches and any("Gaussians" in cause for cause in other.causes)


def test_stopped_and_resumed_it_has_the_same(run, tmp_path, monkeypatch):
    from reverie.recipes.session import Session

    class Stopped(Exception):
        pass

    plain = Session.save

    def save(self):
        plain(self)
        raise Stopped

    recipe = replace(SMALL, checkpoints=2)
    monkeypatch.setattr(Session, "save", save)
    with pytest.raises(Stopped):
        recipe.run(tmp_path / "stopped")
    monkeypatch.undo()
    recipe.run(tmp_path / "stopped", resume=True)
    assert (tmp_path / "stopped" / GAUSSIANS).read_bytes() == (run / GAUSSIANS).read_bytes()


def test_what_is_shipped_or_saved_keeps_them(run, tmp_path):
    ship(run, tmp_path / "small")
    assert (tmp_path / "small" / GAUSSIANS).read_bytes() == (run / GAUSSIANS).read_bytes()
    reverie.load(run).save(tmp_path / "saved")
    assert (tmp_path / "saved" / GAUSSIANS).read_bytes() == (run / GAUSSIANS).read_bytes()


def test_without_classes_one_stands_for_all_and_too_few_samples_have_none(tmp_path):
    generator = np.random.default_rng(0)
    quick = {"batch": 8, "samples": 32, "network": "unet(levels=(8,), blocks=1, groups=4)", "dtype": "float32",
             "checkpoints": 1, "snapshots": 0, "warmup": 8, "self_guidance": 1.0, "held_out": 0}  # fmt: skip
    for name, count in (("many", 40), ("few", 3)):
        np.save(tmp_path / f"{name}.npy", generator.normal(size=(count, 1, 8, 8)).astype(np.float32))
        Arrays(data=str(tmp_path / f"{name}.npy"), **quick).run(tmp_path / name)
    many, few = reverie.load(tmp_path / "many"), reverie.load(tmp_path / "few")
    assert len(many.gaussians) == 1 and many.gaussians.axes.shape == (1, 64, 10)
    assert many.generate(2, **STEPS).raw.shape == (2, 1, 8, 8)
    assert few.gaussians is None and not (tmp_path / "few" / GAUSSIANS).exists()
    with pytest.raises(ReverieError, match="no Gaussians of its data"):
        few.generate(2, **STEPS)


def test_strange_ones_are_refused_by_name(run, tmp_path):
    for i, change in enumerate(
        (
            lambda t: {**t, "means": t["means"][:, :5].contiguous()},
            lambda t: {**t, "shares": -t["shares"]},
            lambda t: {key: one for key, one in t.items() if key != "rest"},
        )
    ):
        copy = shutil.copytree(run, tmp_path / str(i))
        save_tensors(copy / GAUSSIANS, change(load_tensors(run / GAUSSIANS)))
        with pytest.raises(ReverieError, match="gaussians"):
            reverie.load(copy)
    copy = shutil.copytree(run, tmp_path / "cut")
    (copy / GAUSSIANS).write_bytes((run / GAUSSIANS).read_bytes()[:200])
    with pytest.raises(ReverieError, match=r"without .* it starts from noise"):
        reverie.load(copy)
    shutil.rmtree((copy / GAUSSIANS).parent)
    assert reverie.load(copy).gaussians is None
    with pytest.raises(ReverieError, match="unknown start 'data'"):
        reverie.load(run).generate(1, start="data")


def test_shipped_models_have_them_and_those_of_digits_are_those_of_the_data():
    assert [len(reverie.load(name).gaussians) for name in ("digits", "fashion_mnist", "emoji")] == [10, 10, 1]
    # eigenvectors are rounded by the machine, and have no sign of their own: what is made of them has
    system, unit = reverie.load("digits"), torch.randn(50, 1, 8, 8)
    which, level = torch.arange(50) % 10, (torch.tensor(0.7), torch.tensor(0.7))
    begun = [one.begin(unit, which, *level) for one in (system.gaussians, fitted(system, Digits().dataset()))]
    torch.testing.assert_close(*begun, rtol=0, atol=0.01)


@pytest.mark.parametrize(("steps", "less"), [(1, 0.5), (3, 0.3), (4, 0.8)])
def test_few_steps_after_them_come_nearer_the_digits_than_from_noise(steps, less):
    # the Fréchet distance of 1000 samples' pixels to the training digits, over that of as many steps from noise: measured
    # 0.26, 0.10 and 0.60 for 1, 3 and 4 steps; a distance has a jackknife error of some 5 %
    system, data = reverie.load("digits"), Digits().dataset()
    real = Population(features=data.raw.flatten(1).double())
    distances = [
        Frechet(groups=1).measure(Population(features=made.raw.flatten(1).double()), real)["frechet"]
        for start in ("gaussian", "noise")
        for made in [system.generate(1000, sample_steps=steps, start=start, dtype="float32", batch=250)]
    ]
    assert distances[0] < less * distances[1]


def test_the_command_line_begins_with_them_says_so_and_hints_at_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for start, steps in (("gaussian", 2), ("noise", 2), ("noise", 8)):
        assert (
            call("sample", "digits", "-n", 2, "--start", start, "--sample-steps", steps, "--out", f"{start}{steps}")
            == 0
        )
        assert ("--start gaussian" in capsys.readouterr().err) == ((start, steps) == ("noise", 2))
    said = json.loads((tmp_path / "gaussian2" / "samples.json").read_text())
    assert said[0]["gaussians"] == {"sha256": reverie.load("digits").gaussians.sha256}
    assert call("replay", "gaussian2/samples.json") == 0 and "2 of 2 match" in capsys.readouterr().out
    assert call("info", "gaussian2/00001.png") == 0 and "from the Gaussians of the data" in capsys.readouterr().out
    assert call("info", "digits") == 0 and "gaussian: 10 of 36 axes" in capsys.readouterr().out
    assert call("evaluate", "digits", "-n", 20, "--start", "gaussian", "--metric", "kernel", "--extractor", "pixels",
                "--sample-steps", 2, "--out", "figures.json") == 0  # fmt: skip
    assert json.loads((tmp_path / "figures.json").read_text())["made_by"]["gaussians"] == said[0]["gaussians"]


def call(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(one) for one in arguments])
    return end.value.code
