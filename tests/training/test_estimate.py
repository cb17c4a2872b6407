"""What training takes is known before it begins."""

import json
from dataclasses import replace
from mmap import mmap

import pytest
import torch

from reverie.data import Dataset
from reverie.data.stored import memory
from reverie.recipes import trial
from reverie.recipes.digits import Digits
from reverie.recipes.feeding import batches
from reverie.training import estimate
from reverie.training.estimate import Live, estimated, free
from reverie.training.loop import differentiate

SMALL = Digits(samples=64, batch=32, dtype="float32", network="unet(levels=(16, 32), blocks=1, groups=8)", checkpoints=1,
               snapshots=1, warmup=32)  # fmt: skip
DATA = Dataset("some", torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8))


def of(recipe, count, data=DATA):
    """(the estimate, the most bytes alive in an update of `count` samples)"""
    recipe = replace(recipe, learning_rate=1e-3)
    system = recipe.system(data)
    loss = recipe.loss(system)
    optimizer = trial.optimizer_of(recipe, loss)
    fed = lambda n: next(
        batches(data, system.codec, system.conditioner, seed=0, seen=0, total=n, batch=n, micro_batch=n)
    )
    found = estimated(loss, optimizer, fed, 2)
    with Live() as live:
        differentiate(loss, optimizer, [fed(count)])
    kept = [x for each in optimizer.state.values() for x in each.values() if torch.is_tensor(x)]
    kept += [p for p in loss.parameters() for _ in range(3)]  # weights and two averages
    return found, live.most + sum(x.numel() * x.element_size() for x in kept)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("network", [SMALL.network, "dit(width=64, depth=3, head_size=32, patch=2)"])
def test_it_is_what_an_update_takes(network, optimizer):
    """To the bytes that a division by two leaves over, at each moment: 1e-4 is far more."""
    found, truth = of(replace(SMALL, network=network, optimizer=optimizer), 32)
    assert abs(found(32) / truth - 1) < 1e-4 and found.sample > 10 * 3 * 32 * 32 * 4


@pytest.mark.parametrize("count", [2, 16, 128])
def test_where_the_most_is_alive_moves_with_the_number_of_samples(count):
    """Of small pictures two hold less than the gradients do, so that their peak is at the end, and that of many is not."""
    small = Dataset("small", torch.randint(0, 256, (128, 1, 8, 8), dtype=torch.uint8))
    wide = replace(SMALL, network="unet(levels=(32, 32), blocks=1, groups=8)")
    found, truth = of(wide, count, small)
    assert len(found.moments) > 1 and abs(found(count) / truth - 1) < 1e-4


def test_updates_that_went_different_ways_are_known_by_their_peaks():
    few, more = [("a", 10), ("b", 50), ("c", 30)], [("a", 10), ("a", 20), ("b", 90), ("d", 40), ("c", 60)]
    assert estimate.highest(few, more) == ((10, 20),)
    assert estimate.highest(few, [("a", 10), ("b", 90), ("d", 40)]) == ((10, 20),)
    assert estimate.highest(few, [("a", 10), ("a", 20), ("b", 90), ("c", 60)]) == ((10, 20),)
    assert estimate.highest([("b", 50), ("c", 40)], [("b", 52), ("c", 60)]) == ((48, 1), (20, 10))


def test_tensors_are_counted_while_they_live_and_their_views_not_again():
    with Live() as live:
        x = torch.zeros(1000)
        y = x.view(10, 100)[3:]
        z = x + 1
        assert live.now == live.most == 8000
        del x, z
        assert live.now == 4000
        del y
    assert (live.now, live.most) == (0, 8000)


def test_checkpointing_takes_less_says_so_and_trains_the_same(tmp_path):
    deep = replace(SMALL, network="dit(width=64, depth=6, head_size=32, patch=2, dropout=0.1)")
    plain, _ = of(deep, 4)
    less, truth = of(replace(deep, checkpointing=True), 32)
    assert less.sample < 0.5 * plain.sample and abs(less(32) / truth - 1) < 1e-4
    runs = [replace(deep, checkpointing=on).run(tmp_path / str(on)) for on in (False, True)]
    assert json.loads((runs[1] / "recipe.json").read_text())["options"]["checkpointing"] is True
    weights = [(run / "weights" / "raw.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


def test_what_would_not_fit_is_shared_out_before_it_fails(tmp_path, monkeypatch, capsys):
    takes, _ = of(SMALL, 4)
    monkeypatch.setattr(trial, "free", lambda device: int(takes(8) / trial.ROOM) + 1)
    data = replace(SMALL, learning_rate=1e-3)
    assert trial.roomy(data, DATA, torch.device("cpu"), 32).micro_batch == 8
    assert "with 8 samples at a time" in capsys.readouterr().err
    assert trial.roomy(replace(data, micro_batch=16), DATA, torch.device("cpu"), 32).micro_batch == 16
    assert "it may run out; --checkpointing" in capsys.readouterr().err
    monkeypatch.setattr(trial, "free", lambda device: 2**40)
    assert trial.roomy(data, DATA, torch.device("cpu"), 32).micro_batch is None


@pytest.mark.parametrize(("fits", "chosen"), [(8, None), (7, 4), (3, 2)])
def test_several_processes_share_a_batch_and_each_its_part(monkeypatch, fits, chosen):
    """Of 32 samples four processes have 8 each: that much may fit where the whole does not, and parts are parts of 8."""
    takes, _ = of(SMALL, 4)
    monkeypatch.setattr(trial, "free", lambda device: int(takes(fits) / trial.ROOM) + 1)
    settled, _ = trial.settle(replace(SMALL, compile="off"), DATA, torch.device("cpu"), processes=4)
    assert settled.micro_batch == chosen
    settled.shared_among(4)


def test_a_recipe_done_again_keeps_its_parts_whatever_is_free(monkeypatch):
    monkeypatch.setattr(trial, "free", lambda device: 1)
    assert trial.settle(replace(SMALL, compile="off"), DATA, torch.device("cpu"), again=True)[0].micro_batch is None
    assert trial.settle(replace(SMALL, compile="off"), DATA, torch.device("cpu"))[0].micro_batch == 1


def test_what_is_free_is_no_more_than_the_machine_has():
    assert 2**26 < free(torch.device("cpu")) <= memory()


def test_a_limit_on_this_process_counts(monkeypatch):
    limit = estimate.told("/proc/self/status", "VmRSS") + 2**29
    monkeypatch.setattr(estimate, "memory", lambda: limit)
    before = free(torch.device("cpu"))
    with mmap(-1, 2**28) as held:  # of the system's own, since the heap may give what other tests left to it
        for _ in range(16):
            held.write(bytes(2**24))
        assert before <= 2**29 and before - free(torch.device("cpu")) > 2**27
