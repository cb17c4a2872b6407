"""The wheel, built and used where nothing of the repository can be seen."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import reverie

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "reverie"
KINDS = {".py", ".typed", ".json", ".md", ".safetensors"}
LIMIT = 24 * 2**20
"""Bytes: the three models are the most of it."""


def call(*arguments, cwd, **environment):
    done = subprocess.run(list(map(str, arguments)), cwd=cwd, capture_output=True, text=True, timeout=500,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **environment})  # fmt: skip
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    folder = tmp_path_factory.mktemp("wheel")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT, cwd=folder)
    (path,) = folder.iterdir()
    call(*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", folder / "site", path, cwd=folder)
    return path


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """Runs Python in an empty folder: `-S` reads no .pth, so neither the repository nor an editable install is there."""
    place = tmp_path_factory.mktemp("elsewhere")
    paths = [wheel.parent / "site", sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(place)}

    def run(*arguments):
        return call(sys.executable, "-S", *arguments, cwd=place, **environment)

    return place, run


def test_all_of_the_package_is_inside_and_nothing_else(wheel):
    assert wheel.stat().st_size < LIMIT
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        inside = {name.removeprefix("reverie/") for name in names if name.startswith("reverie/")}
        about = {name.partition(".dist-info/")[2] for name in names if ".dist-info/" in name}
        assert len(inside) + len(about) == len(names), names
        ours = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*")
                if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
        assert inside == ours
        assert {Path(name).suffix for name in inside} == KINDS
        assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
        for name in names:
            text = archive.read(name)
            assert str(ROOT).encode() not in text and str(Path.home()).encode() + b"/" not in text, name
        metadata = archive.read(f"reverie-{reverie.__version__}.dist-info/METADATA").decode()
    assert f"Version: {reverie.__version__}\n" in metadata and "Requires-Python: >=3.11" in metadata
    assert "Requires-Dist: torch>=" in metadata and "License-Expression: Apache-2.0" in metadata


@pytest.fixture(scope="module")
def said(wheel, clean):
    """What its command says on making samples in the empty folder, in `new`."""
    _, run = clean
    return run(
        wheel.parent / "site" / "bin" / "reverie", "sample", "digits", "-n", 4, "--sample-steps", 2, "--out", "new"
    )


def test_its_command_makes_samples_elsewhere(said, clean):
    place, _ = clean
    assert "4 samples in new" in said
    names = sorted(path.name for path in (place / "new").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png", "00003.png", "grid.png", "samples.json"]
    assert json.loads((place / "new" / "samples.json").read_text())[3]["versions"]["reverie"] == reverie.__version__


EVERYTHING = """
import contextlib, importlib, importlib.metadata, io, json, pkgutil, sys
import reverie
from reverie.cli import main
told = {}
for arguments in (["info", "digits"], ["info", "fashion_mnist"], ["recipes"], ["samplers"], ["--version"],
                  ["replay", "new/00002.png"]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main(arguments)
        except SystemExit as stop:
            assert not stop.code, arguments
    told[" ".join(arguments)] = out.getvalue()
names = [one.name for one in pkgutil.walk_packages(reverie.__path__, "reverie.") if one.name != "reverie.__main__"]
places = {importlib.import_module(name).__file__ for name in names}
distribution = importlib.metadata.distribution("reverie")
print(json.dumps({"told": told, "file": reverie.__file__, "places": sorted(places), "path": sys.path,
                  "typed": bool(distribution.read_text("RECORD").count("reverie/py.typed,"))}))
"""


def test_its_models_lists_and_modules_are_there_and_are_its_own(wheel, clean, said):
    place, run = clean
    (place / "everything.py").write_text(EVERYTHING)
    found = json.loads(run("everything.py").splitlines()[-1])
    site = str(wheel.parent / "site")
    assert found["file"] == f"{site}/reverie/__init__.py" and found["typed"]
    assert all(name.startswith(f"{site}/reverie/") for name in found["places"]) and len(found["places"]) > 100
    assert not any(str(ROOT / "src") in name for name in found["path"])
    told = found["told"]
    assert "weights" in told["info digits"] and "28" in told["info fashion_mnist"] and "digits" in told["recipes"]
    assert "heun" in told["samplers"].lower() and reverie.__version__ in told["--version"]
    assert "the same, all 64 pixels" in told["replay new/00002.png"]
