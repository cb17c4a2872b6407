"""What goes wrong while a run is made: kills, damage, numbers that are none, no memory, a full disk."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import kills
import numpy as np
import pytest
import scarce
import torch
from kills import RECIPE, Ground, attempt, contents, differences, forked

import reverie
from reverie.errors import ReverieError
from reverie.files import load_tensors, read_json, sweep
from reverie.recipes import session
from reverie.training.checkpoints import saved

pytestmark = pytest.mark.forks


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground(tmp_path_factory.mktemp("ground"))


def said(work, folder):
    """(exit status, what a process of its own said) of `work`."""
    told = folder / "told"

    def loud():
        os.dup2(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        try:
            work()
        except ReverieError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            os._exit(3)

    status = forked(loud)
    return status, told.read_text()


def copy_of(ground, folder):
    """A run stopped at its second checkpoint of four."""
    run = folder / "run"
    assert forked(lambda: stopped(run)) == -signal.SIGKILL
    return run


def stopped(run, at=2):
    kept = session.Session.save

    def save(self):
        kept(self)
        if self.seen >= at * RECIPE.samples // RECIPE.checkpoints:
            kills.die()

    session.Session.save = save
    attempt(run)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_killed_twice_inside_saving_or_anywhere_the_bytes_are_those_of_a_run_never_stopped(ground, number):
    hits, found = ground.survive(kills.plan(6, seed=5)[number])
    assert hits >= 1 and found == []


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.unlink()], ids=["cut", "flip", "unlink"])
def test_of_a_damaged_checkpoint_the_one_before_is_used_and_said(ground, damage, tmp_path):
    run = copy_of(ground, tmp_path)
    newest = saved(run / "checkpoints")[-1]
    damage(newest / "optimizer.safetensors")
    status, told = said(lambda: attempt(run), tmp_path)
    assert status == 0 and "skipped a checkpoint" in told and newest.name in told and "going on from 192" in told
    assert differences(run, ground.truth) == []


def test_litter_of_dead_processes_is_swept_and_that_of_the_living_is_left(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in (
        f".a.json.{dead.pid}.tmp",
        f".b.{dead.pid}.old",
        f".c.json.{os.getppid()}.tmp",
        ".hidden",
        f".d.{dead.pid}.old",
    ):
        (tmp_path / name).write_text(name)
    (tmp_path / "d").write_text("new")
    (tmp_path / f".e.{dead.pid}.tmp").mkdir()
    sweep(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"b", f".c.json.{os.getppid()}.tmp", ".hidden", "d"}
    assert (tmp_path / "d").read_text() == "new"


def test_the_run_that_is_killed_has_two_workers_and_is_that_without_any(ground, tmp_path):
    assert RECIPE.workers == 2 and RECIPE.batch == 2 * RECIPE.micro_batch and "dropout=0.2" in RECIPE.network
    run = tmp_path / "run"
    assert forked(lambda: replace(RECIPE, workers=0).run(run)) == 0
    assert differences(run, ground.truth) == ["recipe.json"]
    ours, truth = (json.loads(text)["options"] for text in (contents(run)["recipe.json"], ground.truth["recipe.json"]))
    assert {key for key in truth if ours[key] != truth[key]} == {"workers"}


def test_an_error_in_a_worker_ends_the_run_with_its_cause_and_leaves_what_was_saved(ground, tmp_path):
    def broken():
        from reverie.recipes import feeding

        kept = feeding.prepared

        def prepared(data, codec, conditioner, seed, places, *more):
            if places.start >= 400:
                raise ReverieError("the disk was pulled out")
            return kept(data, codec, conditioner, seed, places, *more)

        feeding.prepared = prepared
        attempt(run)

    run = tmp_path / "run"
    status, told = said(broken, tmp_path)
    assert status == 3 and "error: the disk was pulled out" in told
    assert saved(run / "checkpoints")[-1].name == "00000352"
    finite(run)
    assert forked(lambda: attempt(run)) == 0
    assert differences(run, ground.truth) == []


def test_bad_numbers_are_skipped_in_the_run_said_in_the_log_and_survive_a_kill(ground, tmp_path):
    """Three updates of bad data: two before the kill, one after; the back-off is a checkpoint's, so bytes are equal."""

    def bad(kill):
        kept = session.batches

        def batches(*arguments, **options):
            place = options["seen"]
            for batch in kept(*arguments, **options):
                if place in (288, 320, 480):
                    batch["x"][0, 0, 0, 0] = float("nan")
                place += len(batch["x"])
                yield batch

        session.batches = batches
        return stopped if kill else attempt

    whole, run = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    status, told = said(lambda: bad(False)(whole), tmp_path)
    assert status == 0 and "skipped an update: the loss is not a finite number after 288" in told
    assert "3 updates were skipped" in told
    assert forked(lambda: bad(True)(run)) == -signal.SIGKILL
    assert read_json(saved(run / "checkpoints")[-1] / "state.json")["guard"] > 1
    assert forked(lambda: bad(False)(run)) == 0
    assert differences(run, contents(whole)) == []
    reports = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert sum(report.get("skipped", 0) for report in reports) == 3


def finite(run):
    for path in run.rglob("*.safetensors"):
        assert all(t.isfinite().all() for t in load_tensors(path).values() if t.is_floating_point()), path
    for path in run.rglob("*.json"):
        read_json(path)


def test_broken_weights_end_training_and_no_file_holds_them(ground, tmp_path):
    def broken():
        kept = session.Session.steps

        def steps(self):
            for step in kept(self):
                if step.seen >= 416:
                    next(self.backbone.parameters()).data[0] = float("nan")
                yield step

        session.Session.steps = steps
        attempt(tmp_path / "run")

    status, told = said(broken, tmp_path)
    assert status == 3 and "weights are not finite numbers after 416" in told and "--resume" in told
    finite(tmp_path / "run")
    assert forked(lambda: attempt(tmp_path / "run")) == 0
    found = differences(tmp_path / "run", ground.truth)
    assert found == []


def test_samples_that_are_not_numbers_cost_a_preview_and_nothing_else(ground, tmp_path):
    def nothing():
        from reverie.systems.diffusion import Diffusion

        def batches(self, *arguments, **options):
            raise ReverieError("the samples are not finite numbers")

        Diffusion.batches = batches
        attempt(tmp_path / "run")

    status, told = said(nothing, tmp_path)
    assert status == 0 and "no picture of the ema weights at 704" in told
    found = differences(tmp_path / "run", ground.truth)
    assert [name for name in found if not name.startswith("samples") and name != "README.md"] == []


@pytest.mark.slow
def test_memory_that_runs_out_makes_smaller_batches_and_the_run_goes_on_and_resumes(tmp_path):
    """The allocator gives what is freed back, so that the limit is one of what is used at a time, by however many threads.

    A batch of 1024 needs about 450 MiB here, one of 256 about 120.
    """
    wide = replace(RECIPE, workers=0, augment=0.0, batch=1024, micro_batch=1024, samples=2048, warmup=512,
                   checkpoints=2, snapshots=2,
                   network="unet(levels=(32, 32), blocks=1, groups=8)")  # fmt: skip

    code = (  # in a fresh process, whose heap holds nothing free, and with all libraries there that training takes
        "import sys; from pathlib import Path; import PIL.Image, torch; torch.set_num_threads(1); "
        f"sys.path.insert(0, {str(Path(kills.__file__).parent)!r}); import kills, scarce; "
        "import accelerate, torch.utils.tensorboard, torch._dynamo; "
        "from reverie.recipes.digits import Digits; kills.RECIPE.loss(kills.RECIPE.system(kills.RECIPE.loaded())); "
        "scarce.limit(240); "
        f"{wide!r}.run(Path({str(tmp_path / 'run')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
                          env={**alone(), **scarce.FRUGAL})  # fmt: skip
    status, told = done.returncode, done.stderr
    assert status == 0 and "memory ran out on a batch of 1024: going on with 512 samples at a time" in told, told
    assert "done." in told
    smaller = read_json(tmp_path / "run" / "recipe.json")["chosen"]["smaller"]
    assert smaller[0][1] <= 512
    assert forked(lambda: wide.run(tmp_path / "free")) == 0
    ours, truth = (load_tensors(tmp_path / run / "weights" / "raw.safetensors") for run in ("run", "free"))
    for name in truth:
        torch.testing.assert_close(ours[name], truth[name], rtol=0, atol=2e-3)  # sums in another order
    assert reverie.load(tmp_path / "run").generate(2, sample_steps=2).raw.shape == (2, 1, 8, 8)


def test_where_nothing_smaller_is_left_the_end_is_clear_and_the_checkpoint_whole(ground, tmp_path):
    def hungry():
        kept = session.train

        def train(*arguments, **options):
            for step in kept(*arguments, **options):
                yield step
                if step.seen >= 416:
                    raise session.OutOfMemory("memory ran out on a batch of 1")

        session.train = train
        attempt(tmp_path / "run")

    status, told = said(hungry, tmp_path)
    assert status == 3 and "choose a smaller --network" in told and told.count("going on with") == 4
    assert [mark[1] for mark in read_json(tmp_path / "run" / "recipe.json")["chosen"]["smaller"]] == [8, 4, 2, 1]
    assert [path.name for path in saved(tmp_path / "run" / "checkpoints")] == ["00000352", "00000544"]


@pytest.mark.slow
def test_a_disk_that_fills_after_the_first_save_ends_training_and_costs_no_checkpoint(ground, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("this machine does not allow mounting")
    try:

        def filled():
            kept = session.Session.preview

            def preview(self):
                kept(self)
                with open(place / "filler", "ab") as file:
                    file.write(b"x" * max(0, shutil.disk_usage(place).free - 3 * 4096))

            session.Session.preview = preview
            attempt(place / "run")

        status, told = said(filled, tmp_path)
        assert status == 3 and "is full; the checkpoint at 192 samples is whole" in told and "--resume" in told
        assert [path.name for path in saved(place / "run" / "checkpoints")] == ["00000192"]
        (place / "filler").unlink()
        assert forked(lambda: attempt(place / "run")) == 0
        assert differences(place / "run", ground.truth) == []
    finally:
        subprocess.run(["umount", place], check=False)


@pytest.mark.slow
def test_two_processes_are_killed_and_go_on_as_two_and_as_one(tmp_path):
    """As two: the same bytes. As one: to the rounding of sums in another order."""
    recipe = [
        "train", "digits", "--samples", "704", "--batch", "32", "--micro-batch", "8", "--dtype", "float32", "--warmup", "64",
        "--checkpoints", "4", "--snapshots", "4", "--network", "unet(levels=(16, 16), blocks=1, groups=8)", "--out",
    ]  # fmt: skip
    whole, run, one = (tmp_path / name / "run" for name in ("whole", "killed", "one"))
    launched(2, *recipe, whole)
    child = subprocess.Popen(command(2, *recipe, run), env=alone(), start_new_session=True, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 200
    while len(saved(run / "checkpoints")) < 1 and time.monotonic() < until:
        assert child.poll() is None, "ended before it was killed"
        time.sleep(0.02)
    time.sleep(random.Random(0).random() * 0.2)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not (run / "samples" / "00000704-ema.png").exists()
    shutil.copytree(run, one)
    launched(2, "train", "--resume", run)
    assert differences(run, contents(whole)) == []
    launched(1, "train", "--resume", one)
    ours, truth = (load_tensors(each / "weights" / "raw.safetensors") for each in (one, whole))
    for name in truth:
        torch.testing.assert_close(ours[name], truth[name], rtol=0, atol=2e-3)


def command(processes, *arguments):
    launcher = (
        ["torch.distributed.run", "--nproc_per_node", processes, "--master_port", 29713, "-m"] if processes > 1 else []
    )
    return [str(one) for one in (sys.executable, "-m", *launcher, "reverie", *arguments)]


def alone():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def launched(processes, *arguments):
    subprocess.run(command(processes, *arguments), env=alone(), check=True, capture_output=True, timeout=400)


def test_results_and_records_hold_no_number_that_is_none(tmp_path):
    with pytest.raises(ReverieError, match="not finite"):
        reverie.files.write_json(tmp_path / "result.json", {"frechet": float("nan")})
    with pytest.raises(ReverieError, match="not finite"):
        reverie.files.save_tensors(tmp_path / "w.safetensors", {"w": torch.tensor([1.0, np.inf])})
    assert list(tmp_path.iterdir()) == []


def test_a_list_written_entry_by_entry_has_the_bytes_of_the_whole(tmp_path):
    for entries in (
        [],
        [{"a": 1}],
        [{"text": "two\nlines, ä", "deep": {"x": [1, 2.5], "e": []}}, "alone", [None, True]],
    ):
        reverie.files.write_json(tmp_path / "whole.json", entries)
        with reverie.files.json_list(tmp_path / "parts.json") as add:
            for one in entries:
                add(one)
        assert (tmp_path / "parts.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
