"""The norm is the formula, wherever channels lie in memory, compiled or not."""

import copy
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reverie.nn import norms
from reverie.nn.compiling import why_not_compiled
from reverie.nn.norms import Norm, Rows, channels_last
from reverie.nn.unet import UNet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # its compiler uses what it deprecates
CPU = torch.device("cpu")
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
compiled = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])


def require(compiled):
    if compiled and (why := why_not_compiled(CPU)):
        pytest.skip(f"kernels cannot be compiled here: {why}")


def truth(norm, h, scale, shift, activate):
    out = F.group_norm(h.double(), norm.num_groups, norm.weight.double(), norm.bias.double(), norm.eps)
    if scale is not None:
        around = (..., *[None] * (h.ndim - 2))
        out = (1 + scale.double()[around]) * out + shift.double()[around]
    return F.silu(out) if activate else out


@compiled
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("told", [False, True], ids=["plain", "told"])
@pytest.mark.parametrize("activate", [False, True], ids=["", "silu"])
@pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
@pytest.mark.parametrize("axes", [(5, 7), (2, 3, 4)], ids=str)
def test_the_norm_and_its_gradients_are_those_of_the_formula(axes, last, activate, told, dtype, compiled):
    """Of data far from zero, where sums of squares lose digits. In bfloat16 the rounding of what comes out and of gradients
    is 2^-9; a float32 mean of 9 beside a deviation of 2 costs a few units in its last place.
    """
    require(compiled)
    norm = Norm(24, 16)
    norm.compiled = compiled
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    norm = norm.double() if dtype == torch.float64 else norm
    h = (2 * torch.randn(3, 24, *axes) + 9).to(dtype)
    h = (h.to(memory_format=LAST[h.ndim]) if last else h).requires_grad_()
    scale, shift = torch.randn(2, 3, 24, dtype=norm.weight.dtype).unbind() if told else (None, None)
    assert norm.num_groups == 8 and channels_last(h) == last
    ours, exact = norm(h, scale, shift, activate), truth(norm, h, scale, shift, activate)
    assert ours.dtype == dtype and channels_last(ours) == last
    way = torch.randn_like(exact)
    near = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 1e-2}[dtype]
    wanted = [h, norm.weight, norm.bias]
    ours_all = [ours, *torch.autograd.grad((ours.double() * way).sum(), wanted)]
    exact_all = [exact, *torch.autograd.grad((exact * way).sum(), wanted)]
    for a, b in zip(ours_all, exact_all):
        assert (a.double() - b.double()).abs().max() <= near * b.abs().max()


def test_gradients_are_those_of_finite_differences():
    h, weight, bias = (
        torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 5, 6), (2, 6), (2, 6))
    )
    for activate in (False, True):
        assert torch.autograd.gradcheck(lambda *x: Rows.apply(*x, 3, 1e-5, activate, False), (h, weight, bias))


ALONE = """
import torch
from reverie.nn.compiling import kernel, tried

x = torch.linspace(-3, 3, 1003)
print(torch.backends.cpu.get_cpu_capability(), (kernel(tried, True)(x) - tried(x)).abs().max().item())
"""


def test_kernels_for_another_machine_are_not_taken_from_the_place_they_are_kept_in(tmp_path):
    """What narrower vectors leave of loops for wider ones is whatever lay in memory, or no program at all."""
    require(True)
    told = {}
    for width in (None, "avx2", "default"):
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
        environment |= {"ATEN_CPU_CAPABILITY": width} if width else {}
        done = subprocess.run([sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        kind, error = done.stdout.split()
        told[kind] = float(error)
    assert "DEFAULT" in told and max(told.values()) < 1e-6


@compiled
@pytest.mark.parametrize("size", [(6, 5), (3, 4, 2)], ids=str)
def test_a_compiled_network_is_the_same_function(size, compiled):
    """Channels last through every layer; 1e-4 of the greatest value is float32's rounding through some twenty layers."""
    require(compiled)
    network = UNet(len(size), 2, levels=(16, 32), blocks=1, groups=8, classes=3, head_size=16)
    for p in network.parameters():
        nn.init.normal_(p, std=0.1)
    other = copy.deepcopy(network)
    other.compiled = True
    for part in other.modules():
        if isinstance(part, Norm):
            part.compiled = compiled
    x, c_noise, label = torch.randn(4, 2, *size), torch.randn(4), torch.tensor([0, 1, 2, 3])
    assert network.compiles and not UNet(1, 2, levels=(16,)).compiles
    outs = [one(x, c_noise, label=label) for one in (network, other)]
    assert outs[1].is_contiguous() and not outs[0].equal(outs[1])  # another route was taken
    way = torch.randn_like(x)
    for out in outs:
        (out * way).sum().backward()
    pairs = [tuple(outs), *((p.grad, q.grad) for p, q in zip(network.parameters(), other.parameters()))]
    for a, b in pairs:
        assert (a - b).abs().max() <= 1e-4 * a.abs().max().clamp(min=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_compiled_network_keeps_channels_last_whatever_its_channels(monkeypatch, channels):
    """A tensor of one channel lies both ways, and the convolution after it would choose the other."""
    ways = []
    plain = norms.channels_last
    monkeypatch.setattr(norms, "channels_last", lambda h: ways.append(plain(h)) or ways[-1])
    monkeypatch.setattr(norms, "kernel", lambda function, compiled: function)
    network = UNet(spatial=2, channels=channels, levels=(8, 16), blocks=1, groups=4, head_size=8)
    network.compiled = True
    network(torch.randn(2, channels, 8, 8), torch.zeros(2))
    assert ways and all(ways)
    ways.clear()
    network.compiled = False
    network(torch.randn(2, channels, 8, 8).to(memory_format=torch.channels_last), torch.zeros(2))
    assert ways and not any(ways)
