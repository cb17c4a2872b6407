"""What holds for the U-Net alone, and for its parts."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reverie.nn.attention import SelfAttention, attend, head_count
from reverie.nn.convolutions import Convolution
from reverie.nn.unet import UNet, doubled

from .networks import inputs, randomised, small


@torch.no_grad()
def test_volumes_of_one_slice_are_pictures():
    """An axis of length 1 is never halved, and of each kernel only the middle meets it."""
    flat, deep = (randomised(small(UNet, spatial)) for spatial in (2, 3))
    state = deep.state_dict()
    for name, kernel in flat.state_dict().items():
        middle = state[name].shape[2] // 2 if state[name].ndim == 5 else 0
        if state[name].ndim == 5:
            state[name][:, :, middle] = kernel
        else:
            state[name].copy_(kernel)
    x, c_noise, _ = inputs(flat)
    torch.testing.assert_close(deep(x[:, :, None], c_noise)[:, :, 0], flat(x, c_noise), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attention", [(False, False), (True, False), (False, True)], ids=str)
def test_attention_is_where_it_was_asked_for_and_in_the_middle(attention):
    network = small(UNet, attention=attention)
    has = lambda part: any(isinstance(one, SelfAttention) for one in part.modules())
    assert tuple(map(has, network.down)) == tuple(map(has, reversed(network.up))) == attention
    assert has(network.middle) == any(attention)


@pytest.mark.parametrize("learns", [False, True], ids=["sampling", "learning"])
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize("size", [(5,), (4, 6), (2, 3, 4)])
def test_doubling_is_nearest_interpolation_and_keeps_the_layout(size, last, learns):
    h = torch.randn(2, *size, 3).movedim(-1, 1) if last else torch.randn(2, 3, *size)
    h.requires_grad_(learns)
    twice = tuple(2 * n for n in size)
    wanted = F.interpolate(h, scale_factor=2, mode="nearest")
    assert doubled(h, twice).equal(wanted) and doubled(h, twice).stride() == wanted.stride()
    odd = tuple(n - 1 for n in twice)
    assert doubled(h, odd).equal(wanted[(..., *map(slice, odd))])
    if learns:
        (gradient,) = torch.autograd.grad(doubled(h, twice).sum(), h)
        assert gradient.equal(torch.full_like(h, 2.0 ** len(size)))


SHAPES = [(1,), (4,), (1, 1), (3, 1), (4, 4), (2, 1, 1), (1, 3, 4), (2, 4, 4), (3, 2, 5), (4, 4, 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SHAPES, ids=str)
def test_a_convolution_and_its_gradients_are_exact_on_short_axes(size, stride, dtype):
    """PyTorch's own bfloat16 gradients are garbage on some of these."""
    layer, h = Convolution(len(size), 32, 32, stride=stride), torch.randn(2, 32, *size)
    h, layer = h.to(dtype).requires_grad_(), layer.to(dtype)
    y = layer(h)
    assert y.shape[2:] == tuple(-(-n // stride) for n in size)
    way = torch.randn_like(y)
    ours = torch.autograd.grad(y, [h, layer.weight, layer.bias], way)
    h64, w64, b64 = (one.detach().double().requires_grad_() for one in (h, layer.weight, layer.bias))
    padded = F.pad(h64, [1] * (2 * len(size)))
    truth = (F.conv1d, F.conv2d, F.conv3d)[len(size) - 1](padded, w64, b64, stride)
    exact = torch.autograd.grad(truth, [h64, w64, b64], way.double())
    slack = 1e-5 if dtype == torch.float32 else 0.02
    for one, other in zip((y, *ours), (truth, *exact)):
        assert (one.double() - other).abs().max() <= slack * other.abs().max()


@pytest.mark.parametrize("masked", [False, True])
def test_both_routes_of_attention_agree(masked):
    q, k, v = torch.randn(2, 3, 5, 8), torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 8)
    mask = (torch.arange(7) < torch.tensor([3, 7])[:, None])[:, None, None] if masked else None
    torch.testing.assert_close(attend(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, mask))
    many = torch.randn(1, 1, 1100, 8)
    truth = (many @ many.mT / 8**0.5).softmax(-1) @ many
    torch.testing.assert_close(attend(many, many, many), truth, rtol=1e-4, atol=1e-5)


def test_heads_divide_their_width():
    assert [head_count(width, 64) for width in (32, 64, 96, 128, 160, 192, 200)] == [1, 1, 1, 2, 2, 3, 2]


@torch.no_grad()
def test_self_attention_does_not_know_where_positions_are():
    attention, order = randomised(SelfAttention(nn.GroupNorm(4, 32), 16)), torch.randperm(30)
    x = torch.randn(2, 32, 30)
    torch.testing.assert_close(attention(x)[:, :, order], attention(x[:, :, order]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_patches_are_channels_of_a_coarser_picture():
    plain = randomised(small(UNet, 2, channels=8, out_channels=8))
    patched = randomised(small(UNet, 2, channels=2, patch=2))
    patched.load_state_dict(plain.state_dict())
    x, c_noise, _ = inputs(patched, size=(6, 10))
    truth = F.pixel_shuffle(plain(F.pixel_unshuffle(x, 2), c_noise), 2)
    torch.testing.assert_close(patched(x, c_noise), truth)


@torch.no_grad()
@pytest.mark.parametrize(("patch", "size"), [(3, (7,)), ((1, 2), (5, 9)), ((1, 2, 2), (3, 5, 6))], ids=str)
def test_patches_of_any_length_fit_any_size(patch, size):
    network = randomised(small(UNet, len(size), patch=patch, classes=2))
    x, c_noise, conditions = inputs(network, size=size)
    y = network(x, c_noise, **conditions)
    assert y.shape == x.shape and y.isfinite().all()
    again = UNet(**network.config)
    again.load_state_dict(network.state_dict())
    assert again.eval()(x, c_noise, **conditions).equal(y)
    with pytest.raises(ValueError, match="patch"):
        small(UNet, len(size), patch=(2,) * (len(size) + 1))


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (7, 13)])
def test_zeros_after_each_axis_alone_halve_as_zeros_around_it_do(size):
    """Of odd sizes too, so that the way up finds what it left; and of even ones as PyTorch's convolution without padding."""
    torch.manual_seed(0)
    network = randomised(small(UNet, centred=False))
    x, c_noise, conditions = inputs(network, size=size)
    assert network(x, c_noise, **conditions).shape == x.shape
    halve = network.down[0].resample
    h = torch.randn(2, 16, *size)
    assert halve(h).shape[2:] == tuple(-(-n // 2) for n in size)
    if size == (5, 8):
        padded = torch.nn.functional.pad(h[:, :, :4], (0, 1, 0, 1))
        truth = torch.nn.functional.conv2d(padded, halve.conv.weight, halve.conv.bias, stride=2)
        torch.testing.assert_close(halve(h[:, :, :4]), truth)
