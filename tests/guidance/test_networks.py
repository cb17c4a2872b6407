"""Guidance of real networks: away from their own weaker selves, and in one call."""

import pytest
import torch

from reverie.core.denoisers import Cast, Preconditioned
from reverie.core.schedules import Cosine
from reverie.guidance.apg import APG
from reverie.guidance.cfg_plus_plus import CFGpp
from reverie.guidance.cfg_zero import CFGZero
from reverie.guidance.extrapolation import Extrapolated
from reverie.guidance.interval import Limited
from reverie.guidance.pag import PAG
from reverie.guidance.rescale import Rescaled
from reverie.guidance.slg import SLG
from reverie.nn.dit import DiT
from reverie.nn.unet import UNet

from .methods import D

T = torch.tensor([0.3, 0.6, 0.8], dtype=torch.float64)
X = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABEL, NONE = torch.tensor([0, 1, 2]), torch.full((3,), 3)


@pytest.fixture(params=[UNet, DiT])
def network(request):
    layout = dict(levels=(8, 16), blocks=1, groups=4) if request.param is UNet else dict(width=16, depth=3)
    net = request.param(spatial=2, channels=1, classes=3, head_size=8, **layout)
    for p in net.parameters():
        p.data += 0.2 * torch.randn_like(p)
    return net.eval()


@pytest.mark.parametrize(("cls", "change"), [(PAG, "blind"), (SLG, "without")])
@torch.no_grad()
def test_guidance_is_away_from_the_weaker_network(network, cls, change):
    net = Preconditioned(network, Cosine())
    for layers in ((), (2,)):
        weaker = Preconditioned(getattr(network, change)(layers), Cosine())
        strong, weak = net.given(label=LABEL), weaker.given(label=LABEL)
        found = cls(strong, scale=2.5, layers=layers)(X, T).x_hat
        torch.testing.assert_close(found, weak(X, T).x_hat + 2.5 * (strong(X, T).x_hat - weak(X, T).x_hat))
        assert not torch.allclose(found, strong(X, T).x_hat)


@pytest.mark.parametrize("cls", [PAG, SLG])
@torch.no_grad()
def test_around_other_guidance_it_adds_and_each_network_is_asked_once(network, cls):
    rows = []
    network.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    net = Cast(Preconditioned(network, Cosine()), torch.float32)
    strong, null = net.given(label=LABEL), net.given(label=NONE)
    cfg = Extrapolated(strong, null, 3.0)
    weak = cls(strong).weak
    wanted = cfg(X, T).x_hat + 1.5 * (strong(X, T).x_hat - weak(X, T).x_hat)
    rows.clear()
    found = cls(cfg, scale=2.5).begin()(X, T).x_hat
    torch.testing.assert_close(found, wanted)
    assert rows == [6, 3]
    assert cls(cfg, scale=1.0)(X, T).x_hat.equal(cfg(X, T).x_hat)
    limited = Limited(cls(strong, scale=2.5), 1.0, 2.0)
    rows.clear()
    limited(X, torch.tensor(0.9, dtype=torch.float64))
    assert rows == [3]  # outside the interval the weaker network rests


def test_what_has_no_network_cannot_be_made_weaker():
    for cls in (PAG, SLG):
        with pytest.raises(ValueError, match="no network in this denoiser"):
            cls(D)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_network_in_half_precision_is_guided_in_single(network, dtype):
    """Guesses of half precision are 2^-8 or 2^-11 off, and so is what is guided by them, times the scale."""
    exact, half = (Cast(Preconditioned(network, Cosine()), kind) for kind in (torch.float32, dtype))
    for make in (
        lambda s, w: APG(s, w, limit=0.5),
        CFGZero,
        CFGpp,
        lambda s, w: Rescaled(Extrapolated(s, w, 3.0)),
        lambda s, w: PAG(s),
        lambda s, w: SLG(s),
    ):
        found, wanted = (make(d.given(label=LABEL), d.given(label=NONE))(X, T).x_hat for d in (half, exact))
        assert found.dtype == torch.float32
        assert (found - wanted).square().mean().sqrt() < 0.05 * wanted.square().mean().sqrt() + 0.02
