"""Runs sent to a hub and fetched from one, only when that is asked for: safetensors, JSON, the card and pictures alone."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import files
from ..errors import ReverieError, printable
from ..reading import contained, read_bytes
from ..systems.base import open_run

SENT = ("model.json", "recipe.json", "README.md", "adapter.safetensors", "weights/*.safetensors", "parts/*/*.safetensors",
        "parts/*/*.json", "parts/*/*.txt", "parts/*/*.model", "samples/*.png")  # fmt: skip
"""What is shared of a run: not its checkpoints, nor where its data lie on this machine."""
OTHERS = ("model_index.json", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model", "*/*.index.json")
"""What is fetched beside that, of a folder in diffusers' layout."""
CARD = 2**20
NAME = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")


def shared(run: Path) -> list[str]:
    """The files of a run that are sent, by their names below it. Raises ReverieError where it is none that can be shared."""
    contained(run)
    open_run(run)  # it is whole, and its weights fit
    text = read_bytes(run / "README.md", CARD).decode(errors="replace") if (run / "README.md").is_file() else ""
    stated = re.search(r"^\| licence[^|]*\| *(.+?) *\|$", text, re.MULTILINE)
    if not text or not stated:
        raise ReverieError(
            f"{run} has no model card that says what it learned from: README.md, as `reverie train` writes it"
        )
    if stated[1].startswith("not stated"):
        raise ReverieError(
            f"the card of {run} states no licence of its data: ask whoever made them, and write it there"
        )
    return [path.relative_to(run).as_posix() for path in found(run)]


def found(run: Path) -> Iterator[Path]:
    seen = {path for pattern in SENT for path in run.glob(pattern) if path.is_file()}
    return iter(sorted(seen))


def push(run: Path | str, name: str, private: bool = True, dry: bool = False) -> tuple[list[str], str]:
    """Sends a run to the hub as `owner/name`; returns the files and the revision that they became, "" of a dry run.

    Raises ReverieError where the run cannot be shared, or the hub does not take it.
    """
    run, name = Path(run), named(name)
    listed = shared(run)
    if dry:
        return listed, ""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api: Any = HfApi()
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name, folder_path=str(run), allow_patterns=listed, commit_message="A run of reverie"
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ReverieError(f"{name} was not sent: {printable(str(error)[:200])}") from None
    return listed, str(getattr(done, "oid", ""))


def pull(name: str, revision: str, out: Path | str) -> Path:
    """Fetches `owner/name` at a revision, a commit's 40 digits, into a folder that appears whole or not at all.

    Raises ReverieError for a revision that can move, and where what came is no run and no folder of diffusers.
    """
    name, out = named(name), Path(out)
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ReverieError(
            f"{revision!r} is no revision that stays what it is: name a commit by its 40 digits, as the hub shows it"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReverieError(f"{out} exists and is not empty: choose another --out")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    with tempfile.TemporaryDirectory(prefix="reverie-") as temporary:
        try:
            snapshot_download(name, revision=revision, local_dir=temporary, allow_patterns=[*SENT, *OTHERS])
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            raise ReverieError(f"{name} was not fetched: {printable(str(error)[:200])}") from None
        shutil.rmtree(Path(temporary) / ".cache", ignore_errors=True)
        contained(Path(temporary))
        if not (Path(temporary) / "model_index.json").is_file():
            open_run(Path(temporary))
        with files.staged(out) as stage:
            shutil.copytree(temporary, stage, dirs_exist_ok=True)
    return out


def named(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ReverieError(f"{name[:80]!r} is not a name on a hub: write owner/name")
    return name
