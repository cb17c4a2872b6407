"""Checkpoints: what is written comes back, and what is damaged is passed over."""

import json

import pytest
import torch
from torch import nn

from reverie.errors import ReverieError
from reverie.training import checkpoints
from reverie.training.checkpoints import Checkpoint, into_optimizer, latest, of_optimizer, save, saved


def one(seen):
    return Checkpoint(seen, {"raw": {"w": torch.full((4, 3), float(seen))}}, {"count": seen // 10})


def test_what_is_saved_comes_back_and_old_ones_go(tmp_path):
    for seen in (10, 20, 30):
        save(tmp_path, one(seen), keep=2)
    assert [path.name for path in saved(tmp_path)] == ["00000020", "00000030"]
    found, faults = latest(tmp_path)
    assert found.seen == 30 and found.state == {"count": 3} and not faults
    assert found.tensors["raw"]["w"].equal(one(30).tensors["raw"]["w"])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("damage", ["cut", "flip", "lose", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(damage, tmp_path):
    for seen in (10, 20):
        save(tmp_path, one(seen))
    file = tmp_path / "00000020" / "raw.safetensors"
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[:-5])
    elif damage == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "lose":
        file.unlink()
    else:
        (tmp_path / "00000020" / "manifest.json").write_text("{")
    found, faults = latest(tmp_path)
    assert found.seen == 10 and len(faults) == 1 and "00000020" in faults[0]


def test_a_manifest_that_points_elsewhere_is_refused(tmp_path):
    path = save(tmp_path, one(10))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../../secret"] = manifest["files"]["state.json"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReverieError, match="lacks"):
        checkpoints.load(path)


def test_weights_that_are_no_numbers_are_not_written_and_leave_the_last_alone(tmp_path):
    save(tmp_path, one(10))
    with pytest.raises(ReverieError, match="not finite"):
        save(tmp_path, Checkpoint(20, {"raw": {"w": torch.tensor([float("nan")])}}, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["00000010"]


def test_an_optimizer_goes_on_as_if_never_stopped(tmp_path):
    def trained(steps, net, optimizer):
        for i in steps:
            optimizer.zero_grad()
            (net(torch.full((2, 3), float(i))) - 1).square().mean().backward()
            optimizer.step()
        return net

    def fresh():
        torch.manual_seed(1)
        net = nn.Linear(3, 2)
        return net, torch.optim.AdamW(net.parameters(), lr=0.01, betas=(0.8, 0.9))

    net, optimizer = fresh()
    truth = trained(range(6), net, optimizer)
    net, optimizer = fresh()
    trained(range(3), net, optimizer)
    tensors, groups = of_optimizer(optimizer)
    save(tmp_path, Checkpoint(3, {"raw": net.state_dict(), "optimizer": tensors}, {"groups": groups}))
    back, _ = latest(tmp_path)
    other, optimizer = fresh()
    other.load_state_dict(back.tensors["raw"])
    into_optimizer(optimizer, back.tensors["optimizer"], back.state["groups"])
    trained(range(3, 6), other, optimizer)
    assert all(a.equal(b) for a, b in zip(truth.parameters(), other.parameters()))
