"""What is fetched is what was pinned, or nothing changes."""

import errno
import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reverie.data import get as module
from reverie.data import packages
from reverie.data.builtin import load
from reverie.data.get import fetched, folder_of, get
from reverie.data.packages import PACKAGES, Debian, File, Npm, Package, PyPI
from reverie.data.weights import convert
from reverie.errors import ReverieError
from reverie.files import load_tensors, sha256


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("REVERIE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A package of one text file and one compressed one, as a wheel that lies in tmp_path."""
    archive = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("tiny/a.txt", b"letters")
        wheel.writestr("tiny/b.gz", gzip.compress(b"numbers"))
        wheel.writestr("tiny/setup.py", b"raise SystemExit")
    kept = (
        File("tiny/a.txt", hashlib.sha256(b"letters").hexdigest(), "a.txt"),
        File("tiny/b.gz", hashlib.sha256(b"numbers").hexdigest(), "b.gz"),
    )
    package = Package("tiny", "two files", "CC0", PyPI("tiny", "1.0"), sha256(archive), kept)
    monkeypatch.setitem(packages.PACKAGES, "tiny", package)
    return archive


def served(monkeypatch, archive):
    """Lets a registry's client be a copy from the disk; returns the commands it was asked to run."""
    asked = []

    def run(command, folder):
        asked.append(command)
        shutil.copy(archive, folder)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(module, "_run", run)
    return asked


def untouched(cache):
    return not cache.exists() or not list(cache.iterdir())


def test_a_package_is_downloaded_checked_unpacked_and_kept(monkeypatch, cache, tiny):
    asked = served(monkeypatch, tiny)
    first, second = get("tiny"), get("tiny")
    assert first.fresh and not second.fresh and len(asked) == 1
    assert sorted(path.name for path in folder_of("tiny").iterdir()) == ["a.txt", "b.gz"] and fetched("tiny")
    assert first.lines() == [f"tiny fetched into {cache / 'tiny'}: two files", "licence: CC0"]
    assert "already there" in second.lines()[0]
    assert [path.name for path in cache.iterdir()] == ["tiny"]


def test_a_file_that_went_missing_is_fetched_again(monkeypatch, tiny):
    served(monkeypatch, tiny)
    get("tiny")
    (folder_of("tiny") / "a.txt").unlink()
    assert not fetched("tiny") and get("tiny").fresh and fetched("tiny")


def test_an_archive_that_the_user_has_does_as_well(monkeypatch, tiny):
    monkeypatch.setattr(module, "_run", None)
    assert get("tiny", tiny).fresh and fetched("tiny")


def test_a_folder_that_the_user_has_does_as_well_however_it_was_compressed(tmp_path, tiny):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a.txt").write_bytes(b"letters")
    (mine / "b.gz").write_bytes(gzip.compress(b"numbers", 1, mtime=7))
    assert get("tiny", mine).fresh
    assert gzip.decompress((folder_of("tiny") / "b.gz").read_bytes()) == b"numbers"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"Letters", "a.txt is not the one that was pinned"),
        ("b.gz", gzip.compress(b"Numbers", mtime=0), "b.gz is not the one that was pinned"),
        ("b.gz", gzip.compress(b"numbers", mtime=0)[:-5], "b.gz is damaged"),
        ("b.gz", b"numbers", "b.gz is damaged"),
        ("b.gz", None, "lacks b.gz"),
    ],
    ids=["changed", "changed inside", "cut short", "not compressed", "missing"],
)
def test_a_folder_with_anything_else_changes_nothing(tmp_path, cache, tiny, name, content, reason):
    mine = tmp_path / "mine"
    mine.mkdir()
    for kept, right in [("a.txt", b"letters"), ("b.gz", gzip.compress(b"numbers"))]:
        (mine / kept).write_bytes(right)
    (mine / name).write_bytes(content) if content else (mine / name).unlink()
    with pytest.raises(ReverieError, match=reason):
        get("tiny", mine)
    assert untouched(cache)


def test_an_archive_of_another_hash_is_never_opened(monkeypatch, tmp_path, cache, tiny):
    monkeypatch.setattr(module, "unpack", None)
    other = tmp_path / "other.whl"
    other.write_bytes(tiny.read_bytes() + b"\0")
    with pytest.raises(ReverieError, match=r"other.whl is not tiny 1.0: its sha256 is .* nothing of it was used"):
        get("tiny", other)
    served(monkeypatch, other)
    with pytest.raises(ReverieError, match="its sha256 is"):
        get("tiny")
    with pytest.raises(ReverieError, match="neither a file nor a folder"):
        get("tiny", tmp_path / "nowhere")
    assert untouched(cache)


def test_a_missing_client_says_what_to_do(monkeypatch, cache):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ReverieError, match=r"no apt-get; .*elsewhere, then: reverie data get fashion_mnist --from"):
        get("fashion_mnist")
    assert untouched(cache)


def test_a_failing_client_is_quoted(monkeypatch, tiny):
    def run(command, folder):
        said = "WARNING: something else\nERROR: No matching distribution found for tiny==1.0\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(module, "_run", run)
    with pytest.raises(ReverieError, match=r"pip could not download tiny: ERROR: No matching .*; download tiny 1.0"):
        get("tiny")


def test_a_slow_client_is_given_up(monkeypatch, tiny):
    def run(command, folder):
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(module, "_run", run)
    with pytest.raises(ReverieError, match="pip did not finish"):
        get("tiny")


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ENOSPC, "no space left for tiny"), (errno.EACCES, "tiny was not fetched: .*denied")]
)
def test_a_disk_that_will_not_take_it_is_said_in_one_line(monkeypatch, cache, tiny, code, reason):
    def full(*_):
        raise OSError(code, "no space" if code == errno.ENOSPC else "Permission denied", "somewhere")

    monkeypatch.setattr(module, "unpack", full)
    with pytest.raises(ReverieError, match=reason) as caught:
        get("tiny", tiny)
    assert "\n" not in str(caught.value) and untouched(cache)


def test_a_name_nobody_knows_is_answered_with_the_nearest():
    with pytest.raises(ReverieError, match="Did you mean 'fashion_mnist'"):
        get("fashion-mnits")


def test_commands_pin_versions_and_run_no_code_of_a_package(tmp_path):
    pip = PyPI("a", "1").command(tmp_path)
    assert pip[:4] == [sys.executable, "-m", "pip", "download"] and "a==1" in pip
    assert {"--no-deps", "--only-binary=:all:"} <= set(pip)
    assert Debian("a", "1").command(tmp_path) == ["apt-get", "download", "--quiet", "a=1"]
    npm = Npm("a", "1").command(tmp_path)
    assert npm[:3] == ["npm", "pack", "a@1"] and "--ignore-scripts" in npm


def test_every_package_is_pinned_and_licensed():
    for name, package in PACKAGES.items():
        assert package.name == name and package.licence and package.about and package.files
        assert all(len(digest) == 64 for digest in [package.sha256, *(one.sha256 for one in package.files)])
        assert len({one.target for one in package.files}) == len(package.files)


class Runs:
    """What a hostile file would do."""

    def __reduce__(self):
        return print, ("this must never be printed",)


def test_weights_come_out_as_they_were(tmp_path):
    state = {"a.weight": torch.randn(3, 4).T, "count": torch.tensor(7)}
    torch.save(state, tmp_path / "w.pth")
    convert(tmp_path / "w.pth", tmp_path / "w.safetensors")
    back = load_tensors(tmp_path / "w.safetensors")
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "state", [Runs(), {"a": Runs()}, [torch.zeros(2)], {"a": {"b": torch.zeros(2)}}, {1: torch.zeros(2)}]
)
def test_weights_that_are_anything_but_named_tensors_are_refused(tmp_path, capsys, state):
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ReverieError, match=r"w\.pth"):
        convert(tmp_path / "w.pth", tmp_path / "w.safetensors")
    assert "never" not in capsys.readouterr().out and not (tmp_path / "w.safetensors").exists()


def test_a_pth_is_kept_as_safetensors_alone(monkeypatch, tmp_path):
    content = io.BytesIO()
    torch.save({"a": torch.ones(2)}, content)
    archive = tmp_path / "net.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("package/net.pth")
        member.size = len(content.getvalue())
        tar.addfile(member, io.BytesIO(content.getvalue()))
    kept = File("package/net.pth", hashlib.sha256(content.getvalue()).hexdigest(), "net.safetensors")
    package = replace(PACKAGES["efficientnet_lite0"], name="net", sha256=sha256(archive), files=(kept,))
    monkeypatch.setitem(packages.PACKAGES, "net", package)
    folder = get("net", archive).folder
    assert [path.name for path in folder.iterdir()] == ["net.safetensors"]
    assert torch.equal(load_tensors(folder / "net.safetensors")["a"], torch.ones(2))


def really(name):
    """The package from its registry, or a skip where this machine cannot reach it."""
    try:
        return get(name).folder
    except ReverieError as error:
        if "could not download" in str(error) or "has no" in str(error) or "did not finish" in str(error):
            pytest.skip(f"{name} cannot be fetched here: {error}")
        raise


@pytest.mark.slow
def test_fashion_mnist_is_the_published_one():
    really("fashion_mnist")
    train = load("fashion_mnist")
    assert (len(train), len(train.test), train.shape) == (60_000, 10_000, (1, 28, 28))
    assert train.values["label"].bincount().tolist() == [6000] * 10
    assert train.test.values["label"].bincount().tolist() == [1000] * 10
    mean, std = (each.item() / 255 for each in train.statistics())
    assert (round(mean, 4), round(std, 4)) == (0.286, 0.353), "what everybody normalises with"
    assert train.classes[train.values["label"][0]] == "Ankle boot"


@pytest.mark.slow
def test_efficientnet_weights_arrive_as_safetensors():
    weights = load_tensors(really("efficientnet_lite0") / "efficientnet_lite0.safetensors")
    assert weights["_fc.weight"].shape == (1000, 1280)
    learned = sum(w.numel() for name, w in weights.items() if name.endswith(("weight", "bias")))
    assert 4.6e6 < learned < 4.7e6


@pytest.mark.slow
def test_sample_photographs_can_be_read():
    from reverie.modalities import load as read

    photographs = read(really("scikit_image"), size=96)
    assert photographs.shape == (3, 96, 96) and photographs.report.skipped == () and len(photographs) == 7


def test_no_file_of_ours_names_a_registry_host():
    hosts = ["pypi.org", "pythonhosted", "npmjs", "debian.org", "huggingface.co"]
    for path in Path(module.__file__).parent.rglob("*.py"):
        assert not [host for host in hosts if host in path.read_text()], path
