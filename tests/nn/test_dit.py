"""What holds for the transformer alone, and for its parts."""

import pytest
import torch

from reverie.nn.dit import DiT, RotaryAttention
from reverie.nn.patches import patches, unpatched
from reverie.nn.rotary import angles, rotated

from .networks import inputs, randomised, small


def positions(*size):
    return torch.cartesian_prod(*map(torch.arange, size)).reshape(-1, len(size))


@pytest.mark.parametrize("size", [(9,), (3, 5), (2, 3, 4)])
def test_logits_see_differences_of_position_only(size):
    where, pairs = positions(*size), 10
    q, k = torch.randn(2, 1, 1, 1, 2 * pairs).expand(2, 1, 1, len(where), 2 * pairs)
    near, far = (angles(where + shift, pairs) for shift in (0, torch.tensor([7, 30, 4])[: len(size)]))
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
    turned = rotated(x, angles(positions(3, 4), 8))
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
    turn, order = angles(positions(3, 4), 8), torch.randperm(12)
    torch.testing.assert_close(attention(h, turn)[:, order], attention(h[:, order], turn[order]), rtol=1e-4, atol=1e-5)


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
