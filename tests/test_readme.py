"""Every command and every block of code in the README and in CONTRIBUTING runs, in an empty folder with some photos."""

import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(language, body, id=f"{page.stem}-{i}-{language}")
    for page in PAGES
    for i, (language, body) in enumerate(re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL))
]
BRIEF = {"train": ["--samples", "256", "--checkpoints", "2", "--network", "unet(levels=(32, 32), blocks=1)"]}
"""What a command is given besides, so that it ends soon: training as long as the page means would take minutes."""


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    for kind in ("beach", "wood"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng(i).integers(0, 255, (24, 32, 3), dtype="uint8")
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{i}.jpg")
    (tmp_path / "shards").mkdir()
    for part in ("beach", "wood"):
        with tarfile.open(tmp_path / "shards" / f"train-{part}.tar", "w") as tar:
            tar.add(tmp_path / "photos" / part, part)
    return tmp_path


def run(arguments, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("language", "body"), BLOCKS)
def test_a_block_of_the_pages_runs(language, body, folder):
    if language == "python":
        (folder / "block.py").write_text(body)
        run([sys.executable, "-W", "error", "block.py"], folder)
        return
    assert language == "console", f"a block in {language} is not tested: write python or console"
    for line in body.splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        assert words[0] == "reverie", f"this command is not tested: {line}"
        if "--resume" not in words and not any(word.endswith(".json") for word in words):  # which say it all
            given = "--from" in words or "autoencoder" in words  # whose network is that of the run, or said otherwise
            words += BRIEF.get(words[1], [])[: 4 if given else None]
        run([sys.executable, "-m", *words], folder)


def test_the_readme_opens_with_the_sentence_and_names_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert text.splitlines()[2].startswith("> **A schedule says how much noise, a denoiser guesses the clean sample")
    assert re.search(r"^    make demo", text, re.MULTILINE) and re.search(r"^    make test", text, re.MULTILINE)


def test_pictures_and_pages_that_the_pages_name_are_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} names {target}"
