"""Feeding: a batch is a function of its places, whoever prepares it and when."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from reverie.data.ahead import ahead
from reverie.errors import ReverieError
from reverie.recipes.digits import Digits
from reverie.recipes.feeding import batches

RECIPE = Digits(samples=640, batch=32, dtype="float32", network="unet(levels=(16, 16), blocks=1, groups=8)")


def test_a_batch_is_a_function_of_its_places_alone():
    data = RECIPE.loaded()
    system = RECIPE.system(data)
    fed = lambda **how: batches(data, system.codec, system.conditioner, seed=1, seen=64, total=128, batch=32, **how)
    whole = list(fed(micro_batch=32))
    for how in ({"micro_batch": 8}, {"micro_batch": 5}):
        parts = list(fed(**how))
        for key in ("x", "label"):
            assert torch.cat([part[key] for part in parts]).equal(torch.cat([part[key] for part in whole]))
        like = lambda part: part["noise"].draw(part["x"])
    drawn = torch.cat([like(part) for part in fed(micro_batch=8)])
    assert drawn.equal(torch.cat([like(part) for part in fed(micro_batch=32)]))
    shared = [list(fed(micro_batch=16, rank=rank, processes=2)) for rank in (0, 1)]
    assert torch.cat([p["x"] for pair in zip(*shared) for p in pair]).equal(torch.cat([p["x"] for p in whole]))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_nothing_over_the_end_of_an_epoch_or_for_a_part_of_the_processes(workers):
    data = RECIPE.loaded()
    system = RECIPE.system(data)
    for how in ({"micro_batch": 32}, {"micro_batch": 8, "rank": 1, "processes": 2}):
        fed = lambda n: batches(data, system.codec, system.conditioner, seed=1, seen=len(data) - 70,
                                total=len(data) + 90, batch=32, workers=n, **how)  # fmt: skip
        ours, truth = list(fed(workers)), list(fed(0))
        assert len(ours) == len(truth)
        for a, b in zip(ours, truth):
            assert a.keys() == b.keys() and all(a[key].equal(b[key]) for key in ("x", "label"))
            assert a["noise"].place.equal(b["noise"].place)
            assert a["noise"].draw(a["x"]).equal(b["noise"].draw(b["x"]))


def test_workers_keep_a_bounded_lead_and_the_order_of_the_items():
    begun = []

    def work(i):
        begun.append(i)
        time.sleep(0.002 * (i % 3))
        return i, threading.current_thread().name

    found, most = [], 0
    for i, name in ahead(work, iter(range(40)), 3):
        most = max(most, max(begun) - i)
        found.append(i)
        assert name.startswith("reverie-data")
    assert found == list(range(40)) and 0 < most <= 6


def test_an_error_is_raised_as_it_was_at_its_own_item_and_the_workers_end():
    def work(i):
        if i == 5:
            raise ReverieError("item 5 is broken") from OSError("because")
        return i

    for workers in (0, 2):
        found = []
        with pytest.raises(ReverieError, match="item 5 is broken") as caught:
            found.extend(ahead(work, range(100), workers))
        assert isinstance(caught.value.__cause__, OSError)
    feed = ahead(work, range(100), 2)
    next(feed)
    feed.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reverie-data")]


def test_a_killed_run_leaves_no_process_behind(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "reverie", "train", "digits", "--samples", "100000", "--batch", "32", "--dtype",
               "float32", "--network", RECIPE.network, "--workers", "2", "--out", str(run)]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    log, until = run / "log.jsonl", time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    threads = len(os.listdir(f"/proc/{child.pid}/task")) if os.path.isdir("/proc") else 3
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert threads >= 3
    with pytest.raises(ProcessLookupError):  # nobody is left in its group
        os.killpg(child.pid, 0)


def test_workers_are_not_too_few_or_too_many():
    for workers in (-1, 1000):
        with pytest.raises(ReverieError, match="workers are 0 to"):
            Digits(workers=workers).checked()
