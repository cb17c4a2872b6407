"""Samples in a file: equal to the same in memory, in every way that training or a report can see, and never all at once."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from reverie.data import Dataset
from reverie.data.check import Check
from reverie.data.stored import Stored, blocks, fits, held
from reverie.errors import ReverieError
from reverie.modalities import load


@pytest.fixture
def on_disk(monkeypatch):
    """Whatever is loaded after this stays on disk."""
    monkeypatch.setenv("REVERIE_MEMORY", "0")


def numbers(shape=(50, 3, 4, 5), dtype="<f4", seed=0):
    return (np.random.default_rng(seed).normal(100, 40, shape)).astype(dtype)


@pytest.fixture
def stored(tmp_path):
    x = numbers()
    np.save(tmp_path / "x.npy", x)
    return Stored(tmp_path / "x.npy", 128, x.dtype, x.shape), torch.from_numpy(x)


@pytest.mark.parametrize(
    "rows",
    [
        3, -1, slice(None), slice(4, 11), slice(None, None, -3), slice(7, 7), [5], [], [9, 2, 2, 49, -50],
        torch.tensor([[1, 2], [3, 40]]), torch.arange(50).flip(0), np.array([8, 9, 10, 30]),
    ],
)  # fmt: skip
def test_rows_are_those_that_a_tensor_would_give(stored, rows):
    ours, truth = stored
    want = truth.numpy()[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
    assert ours[rows].dtype == torch.float32 and np.array_equal(ours[rows].numpy(), want)
    some = torch.tensor([7, 3, 3, 20, 21])
    assert ours.take(some)[[0, 3, 4]].equal(truth[some][[0, 3, 4]])
    assert ours.take(some).take(torch.tensor([4, 0]))[:].equal(truth[some][[4, 0]])


def test_what_it_says_of_itself_is_what_a_tensor_says(stored):
    ours, truth = stored
    for one in (lambda x: x.shape, lambda x: x.ndim, lambda x: x.numel(), len, lambda x: x.dtype,
                lambda x: x.is_floating_point(), lambda x: [n.item() for n in x.aminmax()]):  # fmt: skip
        assert one(ours) == one(truth)
    for wrong in ([50], -51, torch.tensor([0, 50])):
        with pytest.raises(IndexError):
            ours[wrong]
    assert torch.cat(list(blocks(ours, most=7))).equal(truth) and held(ours).equal(truth)


def test_it_is_read_by_several_threads_at_once(stored):
    ours, truth = stored
    wrong = []

    def read(seed):
        some = np.random.default_rng(seed).integers(0, 50, (200, 8))
        wrong.extend(rows for rows in some if not ours[rows].equal(truth[rows]))

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "u1", "?"])
def test_a_large_array_is_in_every_way_what_it_is_in_memory(dtype, tmp_path, monkeypatch):
    x = numbers((300, 6, 5), dtype)
    x[17], x[250] = x[3], x[3]
    np.save(tmp_path / "x.npy", x)
    whole = load(tmp_path / "x.npy", axes=2)
    monkeypatch.setenv("REVERIE_MEMORY", "1e-6")
    ours = load(tmp_path / "x.npy", axes=2)
    assert isinstance(ours.raw, Stored) and isinstance(whole.raw, torch.Tensor)
    assert ours.fingerprint() == whole.fingerprint()
    for a, b in zip(ours.statistics(), whole.statistics()):
        assert a.equal(b)
    lines, truth = Check(ours).lines(), Check(whole).lines()
    assert ("note: read from disk, since memory would not hold it" in lines) and set(truth) < set(lines)
    if dtype != "?":
        assert ours.report.duplicates == (("sample 3", "sample 17", "sample 250"),)
    for a, b in zip(ours.split(40, seed=2), whole.split(40, seed=2)):
        assert isinstance(a.raw, Stored) and a.fingerprint() == b.fingerprint()


def test_statistics_and_fingerprints_do_not_depend_on_the_blocks_they_are_taken_in(tmp_path):
    x = numbers((9000, 1, 700), "u1")  # more than one block, and no whole number of them
    np.save(tmp_path / "x.npy", x)
    ours, truth = Dataset("a", Stored(tmp_path / "x.npy", 128, x.dtype, x.shape, torch.uint8)), torch.from_numpy(x)
    whole = Dataset("a", truth)
    assert ours.fingerprint() == whole.fingerprint()
    assert all(a.equal(b) for a, b in zip(ours.statistics(), whole.statistics()))
    mean, std = ours.statistics()
    torch.testing.assert_close(mean, truth.double().mean((0, 2)), rtol=1e-12, atol=0)
    torch.testing.assert_close(std, truth.double().std((0, 2), correction=0), rtol=1e-12, atol=0)


@pytest.mark.parametrize("change", ["shorter", "other"])
def test_a_file_that_changes_while_it_is_in_use_is_an_error_and_not_the_end_of_the_process(stored, change):
    ours, _ = stored
    if change == "shorter":
        os.truncate(ours.path, 400)
    else:
        with open(ours.path, "r+b") as file:
            file.seek(200)
            file.write(b"\0")
        os.utime(ours.path, ns=(0, 0))
    with pytest.raises(ReverieError, match=r"x\.npy changed while it was in use"):
        ours[40:]


def test_a_large_array_is_refused_for_what_it_would_be_refused_for_in_memory(tmp_path, on_disk):
    x = numbers((5000, 1, 900))
    x[4700, 0, 5] = np.nan
    np.save(tmp_path / "nan.npy", x)
    with pytest.raises(ReverieError, match=r"nan.npy: one number is not finite .* index \(4700, 0, 5\): nan"):
        load(tmp_path / "nan.npy")
    np.save(tmp_path / "turned.npy", np.asfortranarray(numbers()))
    with pytest.raises(ReverieError, match=r"columns first.*ascontiguousarray"):
        load(tmp_path / "turned.npy")
    np.save(tmp_path / "cut.npy", numbers())
    os.truncate(tmp_path / "cut.npy", 5000)
    with pytest.raises(ReverieError, match="damaged"):
        load(tmp_path / "cut.npy")
    np.save(tmp_path / "flat.npy", numbers((50,)))
    with pytest.raises(ReverieError, match="no array of samples"):
        load(tmp_path / "flat.npy")


def test_what_fits_is_a_share_of_memory_unless_said(monkeypatch):
    monkeypatch.delenv("REVERIE_MEMORY", raising=False)
    assert fits(10**6) and not fits(10**15)
    monkeypatch.setenv("REVERIE_MEMORY", "0.5")
    assert fits(2**29) and not fits(2**29 + 1)
    monkeypatch.setenv("REVERIE_MEMORY", "much")
    with pytest.raises(ReverieError, match="a number of GiB, not 'much'"):
        fits(1)


def test_a_limit_on_the_process_counts():
    code = ("import resource; resource.setrlimit(resource.RLIMIT_DATA, (2**32, 2**32)); "
            "from reverie.data.stored import fits; assert fits(2**30) and not fits(2**30 + 1)")  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if key != "REVERIE_MEMORY"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


TRAINING = """
import resource, sys
import torch
from reverie.recipes.arrays import Arrays

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

torch.set_num_threads(1)
recipe = Arrays(data=sys.argv[1], samples=64, batch=16, dtype="float32", checkpoints=1, snapshots=1, workers=2,
                network="unet(levels=(16, 16), blocks=1, groups=4)")
small = Arrays(data=sys.argv[2], **{key: getattr(recipe, key) for key in ("samples", "batch", "dtype", "checkpoints",
               "snapshots", "workers", "network")})
from pathlib import Path
small.run(Path(sys.argv[3]) / "small")  # all that a process needs for anything of this shape
before = peak()
recipe.run(Path(sys.argv[3]) / "large")
print(before, peak())
"""


def test_training_on_a_file_of_300_mb_takes_less_than_a_third_of_that_in_memory(tmp_path):
    rows = np.random.default_rng(0).integers(0, 255, (256, 1, 1024)).astype("f4")
    np.save(tmp_path / "small.npy", rows)
    large = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", "f4", (77056, 1, 1024))
    for i in range(0, len(large), len(rows)):
        large[i : i + len(rows)] = rows + i
    large.flush()
    assert (tmp_path / "large.npy").stat().st_size > 300 * 2**20
    command = [sys.executable, "-c", TRAINING, *map(str, (tmp_path / "large.npy", tmp_path / "small.npy", tmp_path))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "REVERIE_MEMORY": "0.05"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.split())
    assert after - before < 100, f"{before} MiB of a process that trained, {after} with the large file"
