"""A run that starts from another: told in full, reproducible, resumable, and sooner good."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import reverie
from reverie.core.noise import Seeded
from reverie.core.parameterizations import Karras
from reverie.core.schedules import Cosine
from reverie.data import builtin
from reverie.errors import ReverieError
from reverie.files import load_tensors
from reverie.recipes.arrays import Arrays
from reverie.recipes.digits import Digits
from reverie.recipes.folder import Folder
from reverie.recipes.repeating import repeat
from reverie.recipes.starting import following, opened, spelled, take_over
from reverie.recipes.trial import optimizer_of

SMALL = {"samples": 96, "batch": 16, "dtype": "float32", "checkpoints": 3, "snapshots": 2}


def waves(path, classes, seed=0):
    stream = np.random.default_rng(seed)
    label = np.arange(48) % classes
    x = np.sin(np.arange(8) * (1 + label[:, None]) / 2 + stream.uniform(0, 6, (48, 1)))
    np.savez(path, x=x[:, None].astype("float32"), label=label)
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run `old` of waves of two classes, and data of three."""
    place = tmp_path_factory.mktemp("going")
    torch.set_num_threads(1)
    recipe = Arrays(data=waves(place / "two.npz", 2), network="unet(levels=(8, 8), blocks=1, groups=4)", **SMALL)
    recipe.run(place / "old")
    waves(place / "three.npz", 3, seed=1)
    return place


def going(place, **more):
    usual = {"data": str(place / "three.npz"), "source": str(place / "old"), "freeze": "down, stem", **SMALL}
    return Arrays(**usual | more)


@pytest.fixture(scope="module")
def new(place):
    return going(place).run(place / "new")


def told(run):
    return json.loads((run / "recipe.json").read_text())


def contents(run):
    """What must be equal: weights, averages, model, recipe, card and the last checkpoint."""
    last = sorted((run / "checkpoints").iterdir())[-1]
    found = [run / name for name in ("model.json", "recipe.json", "README.md")]
    found += [path for part in ("weights", "ema", "samples") for path in (run / part).iterdir()] + list(last.iterdir())
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(found)}


def test_a_run_says_what_it_started_from_and_where_that_lies_stays_here(place, new):
    start = told(new)["from"]
    assert start["name"] == "old" and len(start["sha256"]) == 64 and not start["new"] and not start["warnings"]
    assert "2 of 3 classes by name (0, 1)" in start["part"]["conditions.label.weight"]
    assert start["frozen"]["tensors"] > 10 and start["whole"]["parameters"] > start["frozen"]["parameters"] > 1000
    assert told(new)["options"]["network"] == told(place / "old")["options"]["network"]
    assert json.loads((new / "local.json").read_text())["from"] == str(place / "old")
    model = json.loads((new / "model.json").read_text())
    assert model["about"]["from"]["sha256"] == start["sha256"]
    assert f"| starts from | old, weights ema of sha256 {start['sha256'][:16]}" in (new / "README.md").read_text()
    for name in ("recipe.json", "model.json", "README.md"):
        assert str(place) not in (new / name).read_text()


def test_frozen_parts_have_the_bytes_of_the_source_and_no_optimizer_state(place, new):
    source = load_tensors(place / "old" / "weights" / "ema.safetensors")
    files = [load_tensors(new / "weights" / f"{name}.safetensors") for name in ("raw", "ema")]
    snapshots = sorted((new / "ema").iterdir())
    for path in snapshots:
        assert not [name for name in load_tensors(path) if name.startswith(("down.", "stem."))]
    rebuilt = reverie.load(new, average=0.07).network.state_dict()
    for tensors in (*files, rebuilt):
        kept = [name for name in tensors if name.startswith(("down.", "stem."))]
        assert kept and all(tensors[name].numpy().tobytes() == source[name].numpy().tobytes() for name in kept)
        moved = [name for name in tensors if name not in kept and not tensors[name].equal(source.get(name))]
        assert len(moved) > 0.9 * (len(tensors) - len(kept))
    last = sorted((new / "checkpoints").iterdir())[-1]
    trained = len(source) - len(kept)
    assert len({key.split(".")[0] for key in load_tensors(last / "optimizer.safetensors")}) == trained
    system = going(place, network=told(new)["options"]["network"]).system(going(place).loaded())
    optimizer = optimizer_of(going(place, learning_rate=1e-3), system.denoiser)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == trained


def test_the_same_recipe_gives_the_same_bytes_from_weights_that_moved(place, new, tmp_path):
    shutil.copytree(place / "old", tmp_path / "elsewhere")
    lone = shutil.copy(new / "recipe.json", tmp_path / "recipe.json")
    data = str(place / "three.npz")
    again = repeat(lone, tmp_path / "again", data, str(tmp_path / "elsewhere"))
    ours, truth = contents(again), contents(new)
    assert [name for name in truth if ours[name].replace(b"# again", b"# new").replace(b"reverie sample again",
            b"reverie sample new").replace(b"evaluate again", b"evaluate new") != truth[name]] == []  # fmt: skip
    with pytest.raises(ReverieError, match=r"starts from old \(ema, sha256 .*give --from RUN"):
        repeat(lone, tmp_path / "b", data)
    with pytest.raises(ReverieError, match="are not those of old that the recipe starts from"):
        repeat(lone, tmp_path / "b", data, str(new))
    with pytest.raises(ReverieError, match="starts from no other run"):
        repeat(place / "old" / "recipe.json", tmp_path / "b", None, str(new))
    assert not (tmp_path / "b").exists()


def test_it_resumes_to_the_same_bytes_and_needs_its_source_only_where_nothing_was_saved(place, new, tmp_path):
    truth, whole = contents(new), going(place)
    for kept in (2, 1, 0):
        run = tmp_path / "new"
        shutil.copytree(new, run)
        marks = sorted((run / "checkpoints").iterdir())
        for path in marks[kept:]:
            shutil.rmtree(path)
        for part in ("weights", *(["ema"] if not kept else [])):
            shutil.rmtree(run / part)
        source = whole.source if not kept else str(tmp_path / "gone")
        replace(whole, source=source, network=None).run(run, resume=True)
        ours = contents(run)
        assert [name for name in truth if ours[name] != truth[name]] == [], kept
        if kept:
            shutil.rmtree(run)
    shutil.rmtree(tmp_path / "new" / "checkpoints")
    with pytest.raises(ReverieError, match=r"unknown run|is not a run"):
        replace(whole, source=str(tmp_path / "gone")).run(tmp_path / "new", resume=True)
    with pytest.raises(ReverieError, match="are not those of old"):
        replace(whole, source=str(new)).run(tmp_path / "new", resume=True)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "from must say"),
        ({"name": "old", "weights": "ema"}, "from must say"),
        ({"name": "old", "weights": "../x", "sha256": "0" * 64}, "from names no weights"),
        ({"name": "../../etc", "weights": "ema", "sha256": "0" * 64}, "give --from RUN"),
        ({"name": "old", "weights": "ema", "sha256": 3}, "from must say"),
        ({"name": "old", "weights": "ema", "sha256": "\x1b[2J" * 16}, "from must say"),
    ],
)
def test_a_hostile_source_is_refused(value, says, new, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(told(new) | {"from": value}))
    with pytest.raises(ReverieError, match=says):
        repeat(tmp_path / "recipe.json", tmp_path / "run", str(new.parent / "three.npz"))
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_is_refused_and_what_does_not_go_together_is_said(place, capsys):
    for broken, says in (
        (going(place, source="", freeze="down"), "--freeze is about the weights of another run"),
        (going(place, source="", freeze="", from_weights="raw"), "--from-weights is about"),
        (going(place, from_weights="best"), "unknown weights 'best'"),
        (going(place, source="digit"), "Did you mean 'digits'"),
        (going(place, source="digits", freeze=""), "2 axes after the channels, and these have 1"),
        (going(place, source="digits", from_weights="raw"), "no weights called 'raw'"),
        (going(place, freeze="down, hed"), "nearest are head"),
        (going(place, network="dit(width=16, depth=1)", freeze=""), "of a UNet, and this network is a DiT"),
    ):
        with pytest.raises(ReverieError, match=says):
            broken.run(place / "broken")
        assert not (place / "broken").exists()
    short = going(place, samples=16, checkpoints=1, snapshots=1, parameterization="velocity", schedule="rectified")
    start = told(short.run(place / "other"))["from"]
    assert (
        len(start["warnings"]) == 1 and "learned to predict Karras and is to predict Velocity" in start["warnings"][0]
    )
    assert "Rectified" in start["beside"]["schedule"] and "in the run Cosine" in start["beside"]["schedule"]
    said = capsys.readouterr().err
    assert "starts from old, weights ema" in said and "warning: the network learned to predict Karras" in said


def test_what_is_left_open_follows_the_run(place):
    old = opened(going(place))
    recipe = following(going(place), old)
    assert (recipe.network, recipe.schedule, recipe.parameterization) == (
        "unet(levels=(8, 8), blocks=1, groups=4)", "cosine()" if spelled(Cosine()) != "cosine" else "cosine", "karras"
    )  # fmt: skip
    assert spelled(Karras(0.5)) == "karras(std_data=0.5)"
    odd = Arrays(data=str(place / "two.npz"), schedule="laplace(mean=0.5)", parameterization="flow",
                 network="dit(width=16, depth=1, patch=(2,))", **SMALL)  # fmt: skip
    recipe = following(going(place), odd.system(odd.loaded()))
    assert recipe.parameterization == "flow" and recipe.network == "dit(patch=(2,), width=16, depth=1)"
    assert recipe.process() == odd.process()


def loss_at_once(recipe):
    """Of the network before the first update, from fresh weights and from what it takes over; the same noise."""
    source = opened(recipe)
    recipe = following(recipe, source)
    data = recipe.loaded()
    found = []
    for begun in (False, True):
        system = recipe.system(data)
        if begun:
            take_over(recipe, {"name": "", "sha256": source.weights_hash}, system)
        rows = torch.arange(48) * (len(data) // 48)
        cond = system.conditioner({key: value[rows] for key, value in data.values.items()})
        with torch.no_grad():
            found.append(
                recipe.loss(system)(system.codec.encode(data.raw[rows]), Seeded.at(0, range(48)), **cond).item()
            )
    return found


def test_real_pictures_are_denoised_better_at_once(tmp_path):
    """Digits from digits; from clothes, digits at twice their size; and in colour, under names of their own."""
    from PIL import Image

    fresh, begun = loss_at_once(Digits(source="digits"))
    assert begun < 0.3 < 0.7 < fresh
    data = builtin.load("digits")
    names = ("zero", "one", "two", "three")
    for i in range(96):
        name, level = names[i % 4], data.raw[data.values["label"] == i % 4][i // 4, 0].numpy()
        (tmp_path / name).mkdir(exist_ok=True)
        picture = Image.fromarray(level).resize((16, 16), Image.Resampling.BICUBIC)
        tinted = [picture.point(lambda v: round(share * v)) for share in (1.0, 0.9, 0.7)]
        Image.merge("RGB", tinted).save(tmp_path / name / f"{i}.png")
    fresh, begun = loss_at_once(Folder(data=str(tmp_path), source="fashion_mnist"))
    assert begun < 0.8 * fresh


def test_a_run_is_begun_with_the_options_of_the_command_line(place, tmp_path, monkeypatch):
    from reverie.cli import main

    monkeypatch.chdir(tmp_path)
    shutil.copytree(place / "old", tmp_path / "old")
    small = ["--samples", "16", "--batch", "16", "--dtype", "float32", "--checkpoints", "1", "--snapshots", "1"]
    begin = ["--from", "old", "--from-weights", "raw", "--freeze", "down.*", "--out", "run"]
    with pytest.raises(SystemExit) as stop:
        main(["train", str(place / "three.npz"), *small, *begin])
    assert not stop.value.code and told(tmp_path / "run")["from"]["weights"] == "raw"
    with pytest.raises(SystemExit) as stop:
        main(["train", "run/recipe.json", "--from", "old", "--data", str(place / "three.npz"), "--out", "again"])
    assert not stop.value.code
    assert (tmp_path / "again/weights/raw.safetensors").read_bytes() == (
        tmp_path / "run/weights/raw.safetensors"
    ).read_bytes()
