"""The command line, as a person uses and misuses it: one line, a status, nothing half-written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.cli import main
from reverie.recipes.digits import Digits


def call(*arguments, cwd, **more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "reverie", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                          env=environment, timeout=300, **more)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = Digits(samples=256, batch=32, dtype="float32", network="unet(levels=(32, 32), blocks=1)", checkpoints=1,
                    snapshots=1)  # fmt: skip
    return recipe.run(tmp_path_factory.mktemp("cli") / "run")


def test_samples_are_pictures_that_say_what_made_them(run, tmp_path):
    done = call("sample", run, "-n", 3, "--label", "4", "--sample-steps", 3, "--out", tmp_path / "new", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png", "grid.png", "samples.json"]
    picture = Image.open(tmp_path / "new" / "00001.png")
    told = json.loads(picture.text["reverie"])
    assert (
        picture.size == (8, 8)
        and told["index"] == 1
        and told["condition"] == {"label": 4}
        and told["grid"]["steps"] == 3
    )
    assert str(tmp_path) not in json.dumps(told)
    made = json.loads((tmp_path / "new" / "samples.json").read_text())
    assert [one["index"] for one in made] == [0, 1, 2]


def test_a_sample_can_be_made_again_alone(run, tmp_path):
    for out, how in (("all", ("-n", 4)), ("one", ("--index", 3))):
        call("sample", run, *how, "--sample-steps", 3, "--out", out, cwd=tmp_path, check=True)
    a, b = (np.array(Image.open(tmp_path / out / "00003.png"), dtype=int) for out in ("all", "one"))
    assert abs(a - b).max() <= 1


def test_a_sampler_that_is_one_new_file_is_on_the_command_line(run, tmp_path):
    """And in the contract tests, which run over whatever `discover` finds: see tests/contracts."""
    folder = Path(reverie.__file__).parent / "samplers"
    code = (
        "import sys, reverie.samplers as s; s.__path__.append(sys.argv.pop(1)); "
        "from reverie.cli import main; main()"
    )  # fmt: skip
    (tmp_path / "extra").mkdir()
    source = (folder / "euler.py").read_text().replace("class Euler", "class Leap").replace("from ..", "from reverie.")
    (tmp_path / "extra" / "leap.py").write_text(source.replace("from .", "from reverie.samplers."))
    for arguments, says in (
        (["samplers"], "leap"),
        (["sample", str(run), "-n", "1", "--sampler", "leap"], "1 samples"),
    ):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "extra"), *arguments], cwd=tmp_path,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0 and says in done.stdout, done.stderr


def test_figures_are_printed_and_written(run, tmp_path):
    done = call("evaluate", run, "-n", 30, "--metric", "frechet", "--extractor", "pixels", "--sample-steps", 2, "--ladder",
                "--out", tmp_path / "figures.json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "noise 0.05" in done.stdout and "warning" in done.stdout  # 30 are few, and it says so
    assert json.loads((tmp_path / "figures.json").read_text())["counts"]["samples"] == 30


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trane"], "Did you mean 'train'"),
        (["train", "digit"], "Did you mean 'digits'"),
        (["train", "digits", "--learning-rat", "1"], "--learning-rate"),
        (["train", "digits", "--batch", "many"], "not a valid integer"),
        (["train", "digits", "--batch", "0"], "batch must be more than 0"),
        (["train", "nowhere/pictures"], "does not exist"),
        (["train", "empty"], "nothing in empty can be read"),
        (["train", "broken"], "no usable"),
        (["train", "nan.npy"], "finite"),
        (["train", "digits", "--out", "full"], "not empty"),
        (["train", "--resume", "empty"], "holds no recipe.json"),
        (["sample", "nowhere"], "unknown run"),
        (["sample", "empty"], "not a run"),
        (["sample", "RUN", "--sampler", "hein"], "Did you mean 'Heun'"),
        (["sample", "RUN", "--sampler", "ddim(eta=)"], "option=value"),
        (["sample", "RUN", "--label", "cat"], "unknown class 'cat'"),
        (["sample", "RUN", "--sample-steps", "0"], "sample steps are 1 to 10000, not 0"),
        (["sample", "RUN", "-n", "0"], "one sample or more"),
        (["sample", "RUN", "--weights", "best"], "no weights called 'best'"),
        (["sample", "RUN", "--grid", "karras(rho='x')"], "not of the kind"),
        (["sample", "RUN", "--out", "full"], "exists"),
        (["evaluate", "RUN", "--metric", "fid"], "unknown metric"),
        (["evaluate", "RUN", "--data", "nan.npy"], "leave out --data"),
        (["info", "empty"], "not a run"),
        (["info", "nan.npy"], "nothing says what made nan.npy"),
        (["replay", "nowhere.png"], "nowhere.png does not exist"),
        (["replay", "full/kept.txt"], "no sample: those end in"),
        (["replay", "broken/a.png"], "not a PNG, or is damaged"),
        (["replay", "nan.npy"], "nothing says what made nan.npy"),
        (["train", "broken.json"], "no recipe of a run"),
        (["train", "nowhere.json"], "does not exist"),
        (["data", "get", "imagenet"], "unknown"),
        (["data", "check", "empty"], "nothing in empty"),
    ],
)
def test_a_mistake_is_one_clear_line_and_leaves_nothing(arguments, says, run, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no picture")
    (tmp_path / "broken.json").write_text("[]")
    np.save(tmp_path / "nan.npy", np.full((4, 1, 8), np.nan, dtype="float32"))
    before = sorted(path for path in tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([str(run) if one == "RUN" else one for one in arguments])
    said = capsys.readouterr().err
    assert stop.value.code not in (0, None)
    last = said.strip().splitlines()[-1]
    assert re.search(says, last), said
    assert last.startswith("error: ") and "Traceback" not in said and "defect" not in said
    assert sorted(path for path in tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small file system")
def test_a_full_disk_is_said_and_no_run_is_begun(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting")
    try:
        done = call("train", "digits", "--samples", 64, "--out", place / "run", cwd=tmp_path)
        assert done.returncode == 1 and "MiB" in done.stderr and "make room" in done.stderr
        assert not list(place.iterdir())
        (place / "filler").write_bytes(b"x" * (2**20 - 3 * 4096))
        done = call("sample", "digits", "-n", "64", "--sample-steps", 1, "--out", place / "new", cwd=tmp_path)
        assert done.returncode == 1 and "disk is full" in done.stderr
        assert [path.name for path in place.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", place], check=False)


def test_debug_shows_where(tmp_path):
    done = call("info", "nowhere", "--debug", cwd=tmp_path)
    assert done.returncode != 0 and "Traceback" in done.stderr


def test_asked_for_nothing_train_shows_its_help_and_fails(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2 and "--resume" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0


def test_a_sample_is_made_without_importing_a_compiler(tmp_path):
    # it takes a second of the three that the first sample may take
    code = (
        "import sys; from reverie.cli import main\n"
        "try: main(['sample', 'digits', '-n', '1', '--sample-steps', '2', '--out', sys.argv[1]])\n"
        "finally: assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "one")], capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "one" / "00000.png").is_file(), done.stderr
