"""Checkpoints: what is written comes back, and what is damaged is passed over."""

import contextlib
import json

import pytest
import torch
from torch import nn

from reverie.errors import ReverieError
from reverie.training import checkpoints
from reverie.training.checkpoints import Checkpoint, into_optimizer, latest, of_optimizer, save, saved
from reverie.training.muon import Muon


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


WRONG = (
    None,
    True,
    False,
    -1.0,
    0.5,
    7,
    "0.9",
    [],
    [0.9],
    [0.9, 1.5],
    [0.9, "x"],
    [[0.9], 0.9],
    [0, 1, 2],
    {},
    {"lr": 1.0},
)


@pytest.mark.parametrize("of", [torch.optim.AdamW, lambda p, lr: Muon([], p, lr)], ids=["adamw", "muon"])
def test_every_option_of_an_optimizer_is_put_back_as_its_kind_or_refused(of):
    optimizer = of(list(nn.Linear(3, 2).parameters()), lr=0.01)
    tensors, groups = of_optimizer(optimizer)
    into_optimizer(optimizer, tensors, [{**groups[0], "lr": 0, "peak": 0.5}])  # JSON has one kind of number
    assert optimizer.param_groups[0]["lr"] == 0 and optimizer.param_groups[0]["peak"] == 0.5
    taken = set()
    for key, own in [*groups[0].items(), ("peak", 0.01), ("other", ...)]:
        for value in (one for one in WRONG if one is not own):
            with contextlib.suppress(ReverieError):
                into_optimizer(optimizer, tensors, json.loads(json.dumps([{**groups[0], key: value}])))
                taken.add((key, str(value)))
    numbers = {key for key, own in groups[0].items() if type(own) in (int, float)} | {"peak"}
    assert taken == {(key, value) for key in numbers for value in ("0.5", "7")}
    for strange in (
        {},
        None,
        [],
        [None],
        groups * 2,
        [{**groups[0], "params": [0, 7]}],
        [{**groups[0], "params": [0]}],
    ):
        with pytest.raises(ReverieError, match="another optimizer"):
            into_optimizer(optimizer, tensors, strange)


def test_an_optimizer_takes_no_tensor_of_another_shape_or_place():
    optimizer = torch.optim.AdamW(nn.Linear(3, 2).parameters())
    groups = of_optimizer(optimizer)[1]
    for key, value in (
        ("0.exp_avg", torch.zeros(())),
        ("0.exp_avg", torch.zeros(3, 2)),
        ("0.step", torch.zeros(2, 3)),
        ("2.exp_avg", torch.zeros(2, 3)),
        ("0.exp_avg", torch.full((2, 3), float("inf"))),
        ("-1.step", torch.zeros(())),
    ):
        with pytest.raises(ReverieError, match="none of this network's"):
            into_optimizer(optimizer, {key: value}, groups)
