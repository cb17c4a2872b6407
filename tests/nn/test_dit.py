"""What holds for the transformer alone, and for its parts."""

import copy

import pytest
import torch

from reverie.nn.compiling import why_not_compiled
from reverie.nn.dit import DiT, RotaryAttention
from reverie.nn.patches import patches, unpatched
from reverie.nn.rotary import angles, rotated, turns

from .networks import inputs, randomised, small


def positions(*size):
    return torch.cartesian_prod(*map(torch.arange, size)).reshape(-1, len(size))


@pytest.mark.parametrize("size", [(9,), (3, 5), (2, 3, 4)])
def test_logits_see_differences_of_position_only(size):
    where, pairs = positions(*size), 10
    q, k = torch.randn(2, 1, 1, 1, 2 * pairs).expand(2, 1, 1, len(where), 2 * pairs)
    near, far = (turns(where + shift, pairs) for shift in (0, torch.tensor([7, 30, 4])[: len(size)]))
    logits = [rotated(q, turn) @ rotated(k, turn).mT for turn in (near, far)]
    torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)
    steps = (where[:, None] - where[None]).flatten(0, 1)
    _, group = steps.unique(dim=0, return_inverse=True)
    flat = logits[0].flatten()
    for one in group.unique():
        assert flat[group == one].std(correction=0) < 1e-4
    assert flat.std() > 0.1


def test_rotation_keeps_lengths_and_leaves_the_origin():
    x = torch.randn(2, 3, 12, 16)
    turned = rotated(x, turns(positions(3, 4), 8))
    torch.testing.assert_close(turned.norm(dim=3), x.norm(dim=3))
    assert turned[:, :, 0].equal(x[:, :, 0])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_axis_turns_its_share_of_the_pairs(axes):
    for axis in range(axes):
        step = torch.zeros(1, axes)
        step[0, axis] = 1
        turn = angles(step, 10)[0]
        assert (turn != 0).nonzero().flatten().tolist() == list(range(axis, 10, axes)) and turn[axis] == 1


@torch.no_grad()
def test_attention_moves_with_its_patches():
    """Patches and their positions in another order: the same outputs in that order."""
    attention, h = randomised(RotaryAttention(32, 2)), torch.randn(2, 12, 32)
    turn, order = turns(positions(3, 4), 8), torch.randperm(12)
    torch.testing.assert_close(
        attention(h, turn)[:, order], attention(h[:, order], turn[:, order]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("size", "patch"), [((9,), (2,)), ((4, 7), (2, 3)), ((3, 5, 4), (1, 2, 4))])
def test_patches_put_together_are_the_picture(size, patch):
    x = torch.randn(2, 3, *size)
    h, counts = patches(x, patch)
    assert counts == [-(-n // p) for n, p in zip(size, patch)]
    assert unpatched(h, patch, counts, size).equal(x)
    first = x[(slice(None), slice(None), *(slice(p) for p in patch))]
    assert h[:, 0].equal(first.flatten(1))


@torch.no_grad()
def test_a_patch_may_be_longer_along_one_axis():
    network = randomised(small(DiT, 3, patch=(1, 2, 4)))
    x, c_noise, _ = inputs(network)
    assert network(x, c_noise).shape == x.shape
    assert network.config["patch"] == [1, 2, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # its compiler uses what it deprecates
@pytest.mark.skipif(why_not_compiled(torch.device("cpu")) is not None, reason="kernels cannot be compiled here")
def test_compiled_blocks_are_the_same_function():
    """In float32 to 1e-4 of the greatest value, rounding through the layers; in bfloat16 as near to float32 as the others."""
    network = randomised(DiT(2, 2, width=32, depth=2, head_size=16, classes=3, tokens=6))
    other = copy.deepcopy(network)
    other.compiled = True
    assert network.compiles and DiT(1, 2, width=32, depth=1).compiles
    x, c_noise, conditions = inputs(network)
    way = torch.randn_like(x)

    def found(one, dtype):
        one.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            out = one(x, c_noise, **conditions)
        (out.float() * way).sum().backward()
        return [out.detach(), *(p.grad.clone() for p in one.parameters())]

    truth, near = found(network, torch.float32), found(other, torch.float32)
    assert not truth[0].equal(near[0])  # another route was taken
    floor = max(one.abs().max() for one in truth[1:]) / 100  # keys' biases cancel: rounding is all they get
    sizes = [one.abs().max().clamp(min=floor) for one in truth]
    for a, b, size in zip(truth, near, sizes):
        assert (a - b).abs().max() <= 1e-4 * size
    plain, compiled = (
        sum((a - b).abs().mean() / size for a, b, size in zip(truth, found(one, torch.bfloat16), sizes))
        for one in (network, other)
    )
    assert compiled <= 1.1 * plain
