"""Training on what memory does not hold: the run is that of the same samples in memory, whatever happens on the way."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

import reverie
from reverie.cli import main
from reverie.data.stored import Stored
from reverie.recipes.evaluating import data_of, evaluate_run
from reverie.recipes.folder import Folder

OPTIONS = {"samples": 640, "batch": 32, "micro_batch": 16, "dtype": "float32", "held_out": 6, "checkpoints": 4,
           "snapshots": 2, "warmup": 64, "network": "unet(levels=(16, 16), blocks=1, groups=8, dropout=0.2)"}  # fmt: skip
WEIGHTS = ("weights/raw.safetensors", "weights/ema.safetensors")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The same pictures in a folder and in three archives."""
    place, stream = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    (place / "shards").mkdir()
    for k in range(3):
        with tarfile.open(place / "shards" / f"train-{k}.tar", "w") as tar:
            for i in range(16):
                kind, colour = (("red", (200, 30, 30)), ("blue", (20, 40, 220)))[i % 2]
                pixels = stream.integers(0, 40, (12, 12, 3)) + colour
                file = io.BytesIO()
                Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(file, "PNG")
                name = f"{k * 16 + i:05d}"
                for ending, content in (("png", file.getvalue()), ("cls", kind.encode())):
                    entry = tarfile.TarInfo(f"{name}.{ending}")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
                (place / "folder").mkdir(exist_ok=True)
                (place / "folder" / f"{name}.png").write_bytes(file.getvalue())
                with open(place / "folder" / "metadata.jsonl", "a") as table:
                    table.write(f'{{"file_name": "{name}.png", "label": "{kind}"}}\n')
    return place


@pytest.fixture(autouse=True)
def on_disk(place, monkeypatch):
    monkeypatch.setenv("REVERIE_CACHE", str(place / "cache"))
    monkeypatch.setenv("REVERIE_MEMORY", "0")


@pytest.fixture(scope="module")
def whole(place):
    """A run never stopped, on the folder, in memory, without workers."""
    return Folder(data=str(place / "folder"), **OPTIONS).run(place / "whole")


def status(*arguments):
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return left.value.code


def contents(run, names):
    return {name: (run / name).read_bytes() for name in names}


@pytest.mark.slow
def test_killed_on_shards_with_two_workers_it_ends_as_the_folder_in_memory_without_any(whole, place, tmp_path):
    run = tmp_path / "run"
    options = [word for key, value in OPTIONS.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "reverie", "train", f"{place}/shards/train-*.tar", *options, "--workers", "2",
               "--out", str(run)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    until = time.monotonic() + 200
    while not list(run.glob("checkpoints/0*")) and time.monotonic() < until:
        assert child.poll() is None, "ended before it was killed"
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (run / "samples" / "00000640-ema.png").exists()
    resume = [sys.executable, "-m", "reverie", "train", "--resume", str(run)]
    subprocess.run(resume, check=True, capture_output=True, env=environment)
    last = sorted(path.relative_to(whole) for path in (whole / "checkpoints" / "00000640").iterdir())
    names = [*WEIGHTS, *(str(name) for name in last if name.name in ("raw.safetensors", "optimizer.safetensors"))]
    assert len(names) == 4 and contents(run, names) == contents(whole, names)
    assert not list(run.rglob(".*"))


def test_a_run_on_disk_is_evaluated_examined_and_refused_when_its_shards_change(place, tmp_path):
    run, shards = tmp_path / "run", shutil.copytree(place / "shards", tmp_path / "shards")
    options = OPTIONS | {"samples": 64, "checkpoints": 1, "snapshots": 1}
    Folder(data=str(shards), workers=1, **options).run(run)
    data, _ = data_of(str(run))
    assert isinstance(data.raw, Stored) and isinstance(data.test.raw, Stored) and len(data.test) == 6
    found = evaluate_run(
        reverie.load(run), data, n=8, names=["frechet"], extractor="pixels", sample_steps=2, rungs=True
    )
    assert found.result.figures["frechet"].value > 0
    assert status("doctor", str(run)) in (0, 1)
    with tarfile.open(shards / "train-2.tar", "a") as tar:
        tar.add(place / "folder" / "00003.png", "99999.png")
    assert status("train", "--resume", str(run)) == 1


def test_the_command_line_takes_a_pattern_and_says_what_is_in_the_shards(place, capsys):
    assert status("data", "check", f"{place}/shards/train-*.tar", "--strict") == 0
    said = capsys.readouterr().out
    assert "found 48, used 48, skipped 0" in said and "classes: 2: blue (24), red (24)" in said
    assert status("data", "check", f"{place}/shards/none-*.tar") == 1
    assert status("train", f"{place}/shards/none-*.tar") == 1
