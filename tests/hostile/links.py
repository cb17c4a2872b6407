"""Links that lead out of a run, and pipes that keep whoever reads them waiting."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from hostile.making import RESUME, RUN, SAMPLE, Case, run


def linked(what: str, target: str = "victim") -> Callable[[Path], object]:
    """A run in which `what` is a link out of it, to a folder that a person would miss."""

    def make(here: Path) -> None:
        path = run(here) / what
        outside = here / target
        if not path.exists() or path.is_file():
            outside.parent.mkdir(exist_ok=True)
            outside.write_bytes(path.read_bytes() if path.exists() else b"mine\n")
        else:
            shutil.copytree(path, outside)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(outside)

    return make


def years(here: Path) -> None:
    """Checkpoints that are somebody's photographs by year, of which resuming would keep two."""
    folder = run(here)
    shutil.rmtree(folder / "checkpoints")
    for year in range(2019, 2025):
        (here / "victim" / str(year)).mkdir(parents=True)
        (here / "victim" / str(year) / "photo").write_bytes(b"dear")
    (folder / "checkpoints").symlink_to(here / "victim")


def waiting(what: str) -> Callable[[Path], object]:
    def make(here: Path) -> None:
        path = run(here) / what
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return make


LINKS = [
    *(
        Case("links", f"{what} to {do[0]}", linked(what), do, "leads out of it")
        for what, do in (
            ("model.json", RUN),
            ("weights", RUN),
            ("weights/ema.safetensors", SAMPLE),
            ("ema", (*SAMPLE, "--average", "0.1")),
            ("recipe.json", RESUME),
            ("local.json", RESUME),
            ("log.jsonl", RESUME),
            ("samples", RESUME),
            ("README.md", RESUME),
            ("checkpoints", RESUME),
            ("recipe.json", ("evaluate", "run")),
            ("log.jsonl", ("compare", "run", "run")),
            ("model.json", ("doctor", "run")),
            ("evaluations", ("evaluate", "run")),
        )
    ),
    Case("links", "checkpoints that are photographs", years, RESUME, "leads out of it"),
    Case(
        "links", "a link to /dev/zero", lambda here: (run(here) / "x").symlink_to("/dev/zero"), RUN, "leads out of it"
    ),
    Case(
        "links",
        "a link to nothing outside",
        lambda here: (run(here) / "x").symlink_to("/nowhere/at/all"),
        RUN,
        "leads out of it",
    ),
    Case("links", "a link by ../", lambda here: (run(here) / "x").symlink_to("../victim"), RUN, "leads out of it"),
    *(
        Case("links", f"a pipe as {what} to {do[0]}", waiting(what), do, "neither a file nor a folder")
        for what, do in (
            ("model.json", RUN),
            ("weights/ema.safetensors", SAMPLE),
            ("log.jsonl", RESUME),
            ("log.jsonl", ("compare", "run", "run")),
            ("samples/9-ema.png", ("compare", "run", "run")),
            ("recipe.json", ("doctor", "run")),
        )
    ),
]
