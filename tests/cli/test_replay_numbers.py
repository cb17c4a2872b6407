"""Samples that are files of numbers say what made them and come out again, whatever their type and ending."""

import json
import shutil

import numpy as np
import pytest
import tifffile
import torch

from reverie.cli import main
from reverie.codecs.standard import Standard
from reverie.conditioning.unconditional import Unconditional
from reverie.core.parameterizations import Karras, LogSNR
from reverie.core.schedules import Cosine
from reverie.modalities.arrays import Arrays
from reverie.nn.unet import UNet
from reverie.systems.diffusion import Diffusion

KINDS = {
    "pictures": (Arrays(".tif", "uint16"), (3, 8, 8)),
    "grey": (Arrays(".tif", "float32"), (1, 8, 8)),
    "volumes": (Arrays(".tif", "int16"), (1, 4, 8, 8)),
    "counts": (Arrays(".npy", "uint16"), (2, 16)),
}


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


@pytest.fixture(params=KINDS)
def made(request, tmp_path, monkeypatch, here):
    """Five samples of a model with fresh weights, in batches of three and two, and their paths."""
    monkeypatch.chdir(tmp_path)
    modality, shape = KINDS[request.param]
    network = UNet(spatial=len(shape) - 1, channels=shape[0], levels=(16, 16), blocks=1, groups=4)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    codec = Standard((3000.0,) * shape[0], (500.0,) * shape[0])
    about = {"name": request.param, "licence": "", "source": "", "count": 3, "seen": 0}
    Diffusion(network, Cosine(), Karras(1.0), LogSNR(), codec, Unconditional(), modality, shape, about=about).save(
        "model"
    )
    status, _, err = here("sample", "model", "-n", 5, "--sample-steps", 4, "--batch", 3, "--out", "made")
    assert status == 0, err
    return sorted((tmp_path / "made").glob(f"*{modality.ending}"))


def test_numbers_come_out_again_in_their_batch_and_alone(made, here):
    assert len(made) == 5
    for batch in ("recorded", "alone"):
        status, told, err = here("replay", made[4], "--batch", batch, "--json")
        report = json.loads(told)
        assert status == 0 and report["matches"] and not report["edited"], (told, err)
        assert report["exact"] or batch == "alone"
        assert report["batch"] == (2 if batch == "recorded" else 1)
    status, told, err = here("replay", made[0].parent / "samples.json")
    assert status == 0 and "5 of 5 match" in told, (told, err)
    status, told, _ = here("info", made[4])
    assert status == 0 and "as they were made" in told and "4 of seed 0, at place 1 of a batch of 2" in told


def test_a_changed_number_is_told_and_what_was_made_is_written_again_byte_for_byte(made, here, tmp_path):
    path, whole = made[1], made[1].read_bytes()
    again = tmp_path / f"again{path.suffix}"
    assert here("replay", path, "--out", again)[0] == 0 and again.read_bytes() == whole
    numbers = (tifffile.imread(path) if path.suffix == ".tif" else np.load(path)).copy()
    assert str(numbers.dtype) == json.loads((tmp_path / "model" / "model.json").read_text())["modality"]["dtype"]
    numbers.flat[7] += 100
    if path.suffix == ".npy":
        np.save(path, numbers)
    else:
        with tifffile.TiffFile(path) as file:
            text = file.pages[0].description
        tifffile.imwrite(path, numbers, photometric="minisblack", metadata=None, description=text)
    status, told, _ = here("replay", path)
    assert status == 1 and f"1 of {numbers.size} numbers differ" in told and "comes out again exactly" in told
    assert "changed since" in here("info", path)[1]


def test_a_tiff_tells_by_itself_and_without_metadata_by_nothing(made, here, tmp_path):
    if made[0].suffix == ".npy":
        bare = shutil.copy(made[2], tmp_path / "bare.npy")
    else:
        alone = shutil.copy(made[2], tmp_path / "alone.tif")
        assert here("replay", alone)[0] == 0
        assert here("sample", "model", "-n", 1, "--sample-steps", 4, "--no-metadata", "--out", "bare")[0] == 0
        bare = tmp_path / "bare" / "00000.tif"
        for word in (b"reverie", b"torch", b"tifffile", b"model"):
            assert word not in bare.read_bytes()
    status, told, err = here("replay", bare)
    assert status == 1 and not told and "nothing says what made" in err


@pytest.mark.parametrize(
    "text", ['{"reverie": [', '{"reverie": "\\u001b[2J"}', '{"reverie": {"format": 9}}', '{"reverie": ' + "[" * 99]
)
def test_a_description_that_is_hostile_is_refused_in_one_harmless_line(text, here, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 8), "uint16"), photometric="minisblack", metadata=None, description=text)
    status, told, err = here("replay", path)
    assert status == 1 and not told and err.startswith("error: ") and len(err) < 400
    assert err.rstrip("\n").isprintable()
