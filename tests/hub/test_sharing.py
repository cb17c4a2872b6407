"""Runs go to a hub and come back only when that is asked for; here the hub is a folder, and no network is touched."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest
from click.testing import CliRunner

import reverie
from reverie.cli.app import app
from reverie.errors import ReverieError
from reverie.hub.sharing import pull, push, shared
from reverie.systems.base import MODELS

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model.json", "recipe.json", "README.md"):
        if (MODELS / "digits" / name).is_file():
            shutil.copyfile(MODELS / "digits" / name, folder / name)
    shutil.copytree(MODELS / "digits" / "weights", folder / "weights")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "secret.safetensors").write_bytes(b"")
    (folder / "local.json").write_text('{"data": "/home/me"}')
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder; what it is asked is remembered."""
    place, asked = tmp_path / "hub", []

    class Api:
        def create_repo(self, name, private, exist_ok):
            asked.append(("create", name, private))

        def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
            for one in allow_patterns:
                (place / one).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(f"{folder_path}/{one}", place / one)
            return SimpleNamespace(oid=REVISION)

    def download(name, revision, local_dir, allow_patterns):
        asked.append(("download", name, revision))
        shutil.copytree(place, local_dir, dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return SimpleNamespace(place=place, asked=asked)


def test_a_run_goes_and_comes_back_and_samples_the_same(run, hub, tmp_path):
    listed, revision = push(run, "me/digits")
    assert revision == REVISION and hub.asked == [("create", "me/digits", True)]
    assert "model.json" in listed and not any("checkpoints" in one or "local" in one for one in listed)
    back = pull("me/digits", revision, tmp_path / "back")
    before, after = (reverie.load(one).generate(4, sample_steps=2).raw for one in (run, back))
    assert before.equal(after) and not list(back.glob("checkpoints")) and not (back / "local.json").exists()


def test_a_dry_run_sends_nothing_and_lists_all(run, hub):
    done = CliRunner().invoke(app, ["push", str(run), "me/digits", "--dry-run"], catch_exceptions=False)
    assert done.exit_code == 0 and "nothing was sent" in done.output and "weights/" in done.output
    assert not hub.asked and not hub.place.exists()


def test_the_commands_send_and_fetch(run, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = CliRunner().invoke(app, ["push", str(run), "me/digits", "--public"], catch_exceptions=False)
    assert REVISION in sent.output and hub.asked == [("create", "me/digits", False)]
    fetched = CliRunner().invoke(app, ["pull", "me/digits", "--revision", REVISION], catch_exceptions=False)
    assert "reverie sample digits" in fetched.output and reverie.load(tmp_path / "digits")


def no_licence(run):
    text = (run / "README.md").read_text()
    lines = [
        "| licence of the data | not stated: ask |" if line.startswith("| licence") else line
        for line in text.split("\n")
    ]
    (run / "README.md").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "README.md").unlink(), "no model card"),
        (no_licence, "states no licence"),
        (lambda run: (run / "model.json").unlink(), "not a run"),
        (lambda run: (run / "samples").symlink_to(run.parent), "leads out of it"),
    ],
    ids=["no card", "no licence", "no model", "a link out"],
)
def test_a_run_that_cannot_be_shared_is_refused_before_anything_is_sent(spoil, says, run, hub):
    spoil(run)
    with pytest.raises(ReverieError, match=says):
        push(run, "me/digits")
    assert not hub.asked


@pytest.mark.parametrize(
    ("name", "revision", "says"),
    [
        ("me/digits", "main", "no revision that stays"),
        ("digits", REVISION, "owner/name"),
        ("a/../b", REVISION, "owner/name"),
        ("a/..", REVISION, "owner/name"),
    ],
)
def test_what_is_fetched_is_named_by_what_stays(name, revision, says, hub, tmp_path):
    with pytest.raises(ReverieError, match=says):
        pull(name, revision, tmp_path / "back")
    assert not hub.asked and not (tmp_path / "back").exists()


def test_what_came_and_is_no_run_leaves_nothing(run, hub, tmp_path):
    push(run, "me/digits")
    (hub.place / "weights" / "ema.safetensors").write_bytes(b"broken")
    with pytest.raises(ReverieError, match="safetensors"):
        pull("me/digits", REVISION, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_shipped_models_can_be_shared():
    assert {"model.json", "README.md", "weights/ema.safetensors"} <= set(shared(MODELS / "fashion_mnist"))
