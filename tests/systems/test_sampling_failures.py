"""What goes wrong while samples are made: no memory, and numbers that are none. No good file is lost to either."""

import gc
import os
import shutil
import subprocess
import sys
import warnings
import weakref
from dataclasses import dataclass
from pathlib import Path

import pytest
import scarce
import torch
from safetensors.torch import load_file, save_file

import reverie
from reverie.errors import ReverieError, ReverieWarning
from reverie.samplers.base import Sampler
from reverie.samplers.dpmpp_2m import DPMpp2M
from reverie.systems.base import shipped
from reverie.systems.records import records
from reverie.training.memory import OutOfMemory

SHORT = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"


@pytest.fixture(scope="module")
def digits():
    return reverie.load("digits")


@dataclass(frozen=True)
class Hungry(Sampler):
    """DPM-Solver++(2M), which has no memory for more than `most` samples after its first step."""

    most: int = 3
    says: str = SHORT
    order = 2

    def step(self, denoiser, x_t, t, s, memory, noise):
        if memory and len(x_t) > self.most:
            raise RuntimeError(self.says)
        return DPMpp2M().step(denoiser, x_t, t, s, memory, noise)


@pytest.fixture
def told():
    """The warnings, which are no errors here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def test_where_memory_runs_out_batches_are_halved_and_samples_are_the_same(digits, told):
    steps, progress = 3, []
    parts = list(digits.batches(11, seed=4, sampler=Hungry(), sample_steps=steps, batch=8, dtype="float32", scale=1.5,
                                progress=lambda done, total: progress.append((done, total))))  # fmt: skip
    assert [len(part) for part in parts] == [2, 2, 2, 2, 2, 1] and [i for part in parts for i in part.index] == [
        *range(11)
    ]
    assert [str(one.message) for one in told] == [
        f"memory ran out on a batch of {n}: going on with {n // 2} at a time, which changes nothing but speed and rounding"
        for n in (8, 4)
    ]
    assert all(one.category is ReverieWarning and one.filename == __file__ for one in told)
    whole = digits.generate(11, seed=4, sample_steps=steps, batch=8, dtype="float32", scale=1.5)
    gap = (torch.cat([part.raw for part in parts]).int() - whole.raw.int()).abs()
    assert gap.max() <= 1 and (gap == 0).double().mean() >= 0.999
    assert torch.cat([part.values["label"] for part in parts]).equal(whole.values["label"])
    batches = [one["batch"] for part in parts for one in records(digits, "digits", part)]
    assert batches[:3] == [{"size": 2, "place": 0}, {"size": 2, "place": 1}, {"size": 2, "place": 0}]
    assert progress[-1] == (11 * steps, 11 * steps) and {total for _, total in progress} == {11 * steps}
    assert max(done for done, _ in progress) == 11 * steps


def test_where_not_even_one_fits_the_end_is_clear_and_other_errors_are_what_they_are(digits, told):
    with pytest.raises(OutOfMemory, match="batch of 1, the smallest there is: free some"):
        digits.generate(4, sampler=Hungry(most=0), sample_steps=2)
    assert len(told) == 2
    with pytest.raises(RuntimeError, match="shapes"):
        digits.generate(4, sampler=Hungry(says="shapes do not fit"), sample_steps=2)


SEEN = []


class Watchful(Hungry):
    """Looks whether anything of a batch of another size is alive."""

    def step(self, denoiser, x_t, t, s, memory, noise):
        assert [n for n, one in SEEN if n != len(x_t) and one() is not None] == [], (
            "an error keeps what filled the memory"
        )
        x_s, memory = super().step(denoiser, x_t, t, s, memory, noise)
        SEEN.append((len(x_t), weakref.ref(memory[0])))
        return x_s, memory


def test_what_the_failed_batch_held_is_free_before_the_next(digits, told):
    SEEN.clear()
    gc.disable()  # nothing may hang on a circle that only the collector breaks
    try:
        assert len(digits.generate(8, sampler=Watchful(), sample_steps=3, batch=8)) == 8
        assert {n for n, _ in SEEN} == {8, 4, 2}
    finally:
        gc.enable()


LIMITED = """
import sys
import torch
torch.set_num_threads(1)
import PIL.Image, rich.progress, reverie, reverie.cli.sample, reverie.cli.evaluate, sklearn.datasets, scipy.linalg
from reverie.cli import main
reverie.load("digits").generate(1, sample_steps=1, dtype="float32")

sys.path.insert(0, sys.argv[1])
from scarce import limit

def call(*arguments):
    print("==", file=sys.stderr, flush=True)
    try:
        main([*arguments, "--dtype", "float32", "--sample-steps", "1"])
    except SystemExit as stop:
        print("status", stop.code or 0, file=sys.stderr, flush=True)

limit(120)
call("sample", "digits", "-n", "1024", "--batch", "1024", "--out", "many")
call("evaluate", "digits", "-n", "1024", "--batch", "1024", "--metric", "frechet", "--extractor", "pixels", "--out", "f.json")
limit(3)
call("sample", "digits", "-n", "1500", "--batch", "1500", "--out", "none")
"""


@pytest.mark.slow
def test_a_process_with_little_memory_makes_all_samples_or_none_and_says_so(digits, tmp_path):
    """The allocator gives what is freed back to the system, so that the limit is one of what is used at a time."""
    command = [sys.executable, "-c", LIMITED, str(Path(scarce.__file__).parent)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **scarce.FRUGAL})  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr and "defect" not in done.stderr, done.stderr
    _, many, figures, nothing = done.stderr.split("==\n")
    for told in (many, figures):
        assert told.startswith("note: memory ran out on a batch of 1024: going on with 512 at a time"), told
        assert told.endswith("status 0\n"), told
    assert nothing.endswith("status 1\n") and "error: memory ran out" in nothing, nothing
    assert not (tmp_path / "none").exists() and not list(tmp_path.glob(".*"))
    pictures = sorted((tmp_path / "many").glob("0*.png"))
    assert len(pictures) == 1024
    images = digits.modality
    few = torch.stack([images.decode(path)[0] for path in pictures[::64]]).int()
    truth = digits.generate(index=range(0, 1024, 64), sample_steps=1, dtype="float32").raw.int()
    assert (few - truth).abs().max() <= 1
    assert reverie.files.read_json(tmp_path / "f.json")["counts"]["samples"] == 1024


def planted(folder, change):
    """A copy of the shipped model with other weights, written by anybody."""
    shutil.copytree(shipped("digits"), folder)
    path = folder / "weights" / "ema.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


NOT_A_NUMBER = """
import sys
from dataclasses import dataclass
import reverie.samplers
from reverie.samplers.base import Sampler

@dataclass(frozen=True)
class Diverging(Sampler):
    order = 1
    def step(self, denoiser, x_t, t, s, memory, noise):
        x_hat = denoiser(x_t, t).x_hat
        x_hat[-1] = float("nan") if s == 0 else 0
        return x_hat, memory
"""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nan", "holds numbers that are not finite, in "),
        ("inf", "holds numbers that are not finite, in "),
        ("huge", "the samples are not finite numbers, and none was kept"),
        ("sampler", "the samples are not finite numbers, and none was kept"),
    ],
)
def test_what_is_no_number_is_never_written_as_a_sample_or_a_figure(kind, says, tmp_path, monkeypatch, capsys):
    """Weights with a NaN or an infinity, finite ones that overflow, and a sampler whose last row is none."""
    from reverie.cli import main

    def change(tensors):
        name = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
        if kind == "huge":
            tensors.update({name: tensor.float() * 1e30 for name, tensor in tensors.items()})
        elif kind != "sampler":
            tensors[name].view(-1)[0] = float(kind)

    monkeypatch.chdir(tmp_path)
    planted(tmp_path / "run", change)
    options = ["--sample-steps", "2", "--dtype", "float32", "--out"]
    if kind == "sampler":
        (tmp_path / "extra").mkdir()
        (tmp_path / "extra" / "diverging.py").write_text(NOT_A_NUMBER)
        import reverie.samplers

        monkeypatch.setattr(reverie.samplers, "__path__", [*reverie.samplers.__path__, str(tmp_path / "extra")])
        options = ["--sampler", "diverging", *options]
    before = sorted(tmp_path.rglob("*"))
    for command in (["sample", "run", "-n", "3", *options, "new"], ["evaluate", "run", "-n", "8", *options, "f.json"]):
        with pytest.raises(SystemExit) as stop:
            main(command)
        told = capsys.readouterr().err
        assert stop.value.code == 1 and told.startswith("error: ") and told.count("\n") == 1
        assert says in told, told
        assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts] == before


def test_arrays_and_pictures_refuse_to_write_what_is_none(tmp_path):
    from reverie.modalities.arrays import Arrays

    with pytest.raises(ReverieError, match="not finite, so nothing was written"):
        Arrays().save(torch.tensor([[[0.0, float("nan")]]]), tmp_path)
    assert list(tmp_path.iterdir()) == []
