"""Every output says what made it, says nothing of who made it where and when, and can be made again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import reverie
from reverie.cli import main
from reverie.codecs.standard import Standard
from reverie.conditioning.scalars import Scalars
from reverie.core.parameterizations import Karras, LogSNR
from reverie.core.schedules import Cosine
from reverie.modalities.arrays import Arrays
from reverie.nn.unet import UNet
from reverie.systems.diffusion import Diffusion

FEW = ("--sample-steps", "4")


def process(*arguments, cwd, **env):
    return subprocess.run([sys.executable, "-m", "reverie", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **env}, timeout=300)  # fmt: skip


@pytest.fixture
def here(capsys):
    """The command line in this process: (status, what it printed, what it said)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            main(list(map(str, arguments)))
        said = capsys.readouterr()
        assert "Traceback" not in said.err and "defect" not in said.err
        return int(stop.value.code or 0), said.out, said.err

    return call


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory):
    """16 digits of one batch, in a folder that tests copy before they change it."""
    out = tmp_path_factory.mktemp("digits") / "made"
    with pytest.raises(SystemExit) as stop:
        main(["sample", "digits", "-n", "16", "--scale", "1.5", *FEW, "--out", str(out)])
    assert stop.value.code == 0
    return out


@pytest.fixture
def copy(sixteen, tmp_path):
    return Path(shutil.copytree(sixteen, tmp_path / "copy"))


def text_of(path):
    with Image.open(path) as picture:
        return json.loads(picture.text["reverie"])


def rewritten(path, text=None, edit=None):
    """The same picture by another program, with other text or other pixels."""
    with Image.open(path) as picture:
        levels, texts = np.array(picture), dict(picture.text)
    if edit:
        edit(levels)
    chunks = PngInfo()
    for key, value in (texts if text is None else text).items():
        chunks.add_itxt(key, value)
    Image.fromarray(levels).save(path, pnginfo=chunks)
    return path


@pytest.mark.parametrize("batch", ["recorded", "alone"])
def test_a_digit_of_a_batch_comes_out_again_in_a_new_process(sixteen, tmp_path, batch):
    done = process("replay", sixteen / "00011.png", "--batch", batch, "--json", "--out", "again.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["matches"] and told["levels"] <= 1 and told["batch"] == (16 if batch == "recorded" else 1)
    assert not told["differences"] and (told["exact"] or batch == "alone")
    old, new = (np.array(Image.open(path), dtype=int) for path in (sixteen / "00011.png", tmp_path / "again.png"))
    assert abs(old - new).max() <= 1 and text_of(tmp_path / "again.png")["index"] == 11


def test_a_whole_folder_is_replayed_by_its_list(here, copy):
    entries = json.loads((copy / "samples.json").read_text())
    (copy / "samples.json").write_text(json.dumps(entries[4:6]))
    status, out, _ = here("replay", copy / "samples.json")
    assert status == 0 and out.count("the same, all 64 pixels") == 2 and "2 of 2 match" in out
    rewritten(copy / "00005.png", edit=lambda levels: levels.__setitem__((0, 0), levels[0, 0] ^ 255))
    status, out, _ = here("replay", copy / "samples.json")
    assert status == 1 and "1 of 2 match" in out
    (copy / "samples.json").write_text(json.dumps([entries[4] | {"file": "../made/00004.png"}]))
    assert here("replay", copy / "samples.json")[0] == 1


def test_an_edited_pixel_is_told_apart_from_a_sample_that_does_not_come_out_again(here, copy):
    path = rewritten(copy / "00002.png", edit=lambda levels: levels.__setitem__((3, 4), levels[3, 4] ^ 128))
    status, out, _ = here("replay", path)
    assert status == 1 and "1 of 64 pixels differ, by 128 levels" in out
    assert "changed after it was made; as it was recorded, it comes out again exactly" in out
    assert "changed since" in here("info", path)[1]
    told = text_of(copy / "00003.png") | {"seed": 1}  # honest pixels, another seed: the file itself is as it was made
    status, out, _ = here("replay", rewritten(copy / "00003.png", {"reverie": json.dumps(told)}))
    assert status == 1 and "changed after" not in out and "the record was changed" in out


def test_other_weights_are_named(here, copy, tmp_path):
    other = reverie.load("digits")
    other.save(tmp_path / "other", ema={name: t * 1.01 for name, t in other.network.state_dict().items()})
    status, out, _ = here("replay", copy / "00000.png", "--model", tmp_path / "other")
    assert status == 1 and "the weights are others" in out and "differ" in out
    status, _, err = here("replay", copy / "00000.png", "--model", "fashion_mnist")
    assert status == 1 and "1 x 8 x 8, and the model makes 1 x 28 x 28" in err
    told = text_of(copy / "00000.png") | {"model": "gone"}
    status, _, err = here("replay", rewritten(copy / "00000.png", {"reverie": json.dumps(told)}))
    assert status == 1 and "'gone' is not here: say where with --model RUN" in err
    assert here("replay", copy / "00000.png", "--model", "digits")[0] == 0


def test_other_versions_and_devices_are_named_where_the_pixels_differ(here, copy):
    told = text_of(copy / "00001.png") | {
        "seed": 9,
        "device": "cpu DEFAULT of old",
        "versions": {"reverie": "0.1.0", "torch": "2.0"},
    }
    status, out, _ = here("replay", rewritten(copy / "00001.png", {"reverie": json.dumps(told)}))
    assert status == 1 and re.search(r"torch is \S+ now, 2.0 then", out) and "on cpu DEFAULT of old then" in out


def test_stripped_metadata_is_found_beside_or_missed(here, copy, tmp_path):
    path = rewritten(copy / "00006.png", text={})
    assert here("replay", path)[0] == 0  # by the list beside it
    alone = Path(shutil.copy(path, tmp_path / "alone.png"))
    for command in ("replay", "info"):
        status, out, err = here(command, alone)
        assert status == 1 and not out and "nothing says what made alone.png" in err
    status, _, err = here("replay", copy / "grid.png")
    assert status == 1 and "several samples" in err


HOSTILE = {
    "escapes": '{"format": 1, "made": "sample", "weights": {"name": "\\u001b[2J\\u001b]0;owned\\u0007"}}',
    "raw escapes": "\x1b[2J not JSON",
    "deep": "[" * 50_000,
    "long": '{"format": 1, "x": "' + "y" * 300_000 + '"}',
    "a list": "[1, 2]",
    "a bomb": '{"format": 1, "made": "sample", "weights": {"name": "ema"}, "batch": {"size": 999999999}}',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_metadata_is_refused_in_one_harmless_line(kind, here, copy):
    path = rewritten(copy / "00007.png", {"reverie": HOSTILE[kind]})
    status, out, err = here("replay", path)
    assert status == 1 and not out and err.startswith("error: ") and len(err) < 600
    assert err.rstrip("\n").isprintable()
    _, out, err = here("info", path)
    assert "\x1b" not in out + err and "\x07" not in out + err and len(out + err) < 3000


def test_a_text_that_unpacks_to_a_bomb_is_refused(here, copy):
    chunks = PngInfo()
    chunks.add_itxt("reverie", "x" * 30_000_000, zip=True)
    Image.new("L", (8, 8)).save(copy / "bomb.png", pnginfo=chunks)
    assert (copy / "bomb.png").stat().st_size < 100_000
    status, _, err = here("replay", copy / "bomb.png")
    assert status == 1 and "damaged" in err


def test_info_tells_a_person_what_made_a_file(here, copy):
    status, out, _ = here("info", copy / "00009.png")
    assert status == 0 and "digits, weights ema, sha256" in out and "9 of seed 0, at place 9 of a batch of 16" in out
    assert "scale 1.5" in out and "steps=4" in out and "as they were made" in out
    status, out, _ = here("info", copy / "grid.png")
    assert status == 0 and re.search(r"made +grid", out) and re.search(r"samples +16", out)


def test_without_metadata_no_byte_tells(here, tmp_path):
    assert here("sample", "digits", "-n", 2, *FEW, "--no-metadata", "--out", tmp_path / "bare")[0] == 0
    files = sorted((tmp_path / "bare").iterdir())
    assert [path.name for path in files] == ["00000.png", "00001.png", "grid.png"]
    for path in files:
        data = path.read_bytes()
        for chunk in (b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf", b"reverie", b"digits", b"torch"):
            assert chunk not in data, (path.name, chunk)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """A run of arrays with numbers as conditions, its weights fresh."""
    conditioner = Scalars(("hue", "size"), (0.5, 2.0), (0.25, 1.0))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(spatial=1, channels=2, levels=(16, 16), blocks=1, groups=4, **conditioner.backbone_options())
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
    codec = Standard((1.0, -2.0), (3.0, 0.5))
    system = Diffusion(network, Cosine(), Karras(1.0), LogSNR(), codec, conditioner, Arrays(), (2, 16),
                       about={"name": "curves", "licence": "", "source": "", "count": 3, "seen": 0})  # fmt: skip
    folder = tmp_path_factory.mktemp("arrays") / "curves"
    system.save(folder)
    return folder


def test_arrays_are_replayed_by_the_list_beside_them(here, arrays, tmp_path, monkeypatch):
    monkeypatch.chdir(arrays.parent)  # where the recorded name is found
    out = tmp_path / "made"
    label = "{'hue': 0.1}"
    status, _, err = here("sample", "curves", "-n", 5, "--label", label, "--scale", 2, *FEW, "--batch", 3, "--out", out)
    assert status == 0, err
    assert sorted(p.name for p in out.iterdir()) == [*(f"0000{i}.npy" for i in range(5)), "grid.png", "samples.json"]
    entry = json.loads((out / "samples.json").read_text())[4]
    assert entry["batch"] == {"size": 2, "place": 1} and entry["condition"] == {"hue": pytest.approx(0.1), "size": None}
    for batch in ("recorded", "alone"):
        status, told, err = here("replay", out / "00004.npy", "--batch", batch)
        assert status == 0 and "numbers" in told, (told, err)
    assert here("info", out / "00004.npy")[0] == 0
    x = np.load(out / "00004.npy")
    x[0, 0] += 1
    np.save(out / "00004.npy", x)
    status, told, _ = here("replay", out / "00004.npy")
    assert status == 1 and "1 of 32 numbers differ" in told and "comes out again exactly" in told
    (out / "samples.json").unlink()
    assert "nothing says" in here("replay", out / "00003.npy")[2]


MARK = "unmistakable"
PATCH = """
import getpass, json, platform, socket, sys
socket.gethostname = platform.node = socket.getfqdn = lambda *a: "unmistakable-host"
getpass.getuser = lambda: "unmistakable-user"
from reverie.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as stop:
        assert not stop.code, arguments
"""


def told_by(folder, besides=()):
    """Files whose bytes hold the mark, plainly or in a compressed text of a PNG."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".png":
            with Image.open(path) as picture:
                data += json.dumps({k: str(v) for k, v in picture.info.items()}).encode()
        if MARK.encode() in data and not set(path.relative_to(folder).parts) & set(besides):
            found.append(path.name)
    return found


def test_no_output_tells_user_machine_place_or_time(arrays, tmp_path, here):
    """Not of pictures, arrays and grids; nor of a run, but for local.json and TensorBoard's events, which stay here."""
    home = tmp_path / "unmistakable-home"
    (home / "curves").mkdir(parents=True)
    np.save(home / "x.npy", np.random.default_rng(0).normal(size=(16, 1, 8)).astype("float32"))
    shutil.copytree(arrays, home / "curves", dirs_exist_ok=True)
    env = {**os.environ, "HOME": str(home), "USER": "unmistakable-user", "LOGNAME": "unmistakable-user",
           "HOSTNAME": "unmistakable-host", "OMP_NUM_THREADS": "1"}  # fmt: skip
    run = home / "run"
    train = ["train", home / "x.npy", "--samples", 64, "--batch", 16, "--dtype", "float32", "--checkpoints", 1, "--network",
             "unet(levels=(16, 16), blocks=1, groups=4)", "--held-out", 4, "--out", run]  # fmt: skip
    commands = [
        ["sample", home / "curves", "-n", 2, *FEW, "--out", home / "arrays"],
        ["sample", "digits", "-n", 2, *FEW, "--out", home / "pictures"],
        train,
        ["evaluate", run, "-n", 8, "--metric", "frechet", "--extractor", "pixels", *FEW],
    ]
    told = json.dumps([[str(one) for one in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", PATCH, told], cwd=home, capture_output=True, text=True, env=env, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for folder in ("arrays", "pictures"):
        assert told_by(home / folder) == []
    assert told_by(run, besides=("events", "local.json")) == []
    assert told_by(run) != []  # the search finds what is there
    assert text_of(home / "pictures" / "grid.png")["made"] == "grid"
    again = home / "later"  # no time of day: the same bytes, whenever
    assert here("sample", "digits", "-n", 2, *FEW, "--out", again)[0] == 0
    for path in (home / "pictures").iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    card = (run / "README.md").read_text()
    assert "frechet" in card and "Not measured" not in card and "samples by default with" in card
    assert f"(samples/{next((run / 'samples').glob('*-ema.png')).name})" in card
    preview = text_of(next((run / "samples").glob("*-raw.png")))
    assert preview["seen"] == 64 and preview["weights"]["name"] == "raw" and len(preview["weights"]["sha256"]) == 64
    made = json.loads(next((run / "evaluations").iterdir()).read_text())["made_by"]
    assert made["versions"]["torch"] and made["weights"]["sha256"] and made["model"] == "run"
    assert not re.search(r"\b\d\d:\d\d(:\d\d)?\b|20\d\d-\d\d", card)
