"""Small networks and inputs for the tests of backbones."""

import torch

from reverie.nn.dit import DiT
from reverie.nn.unet import UNet

SIZES = {1: (8,), 2: (7, 13), 3: (3, 5, 6)}
CONDITIONS = dict(classes=3, scalars=2, tokens=5)


def small(kind, spatial=2, **options):
    layout = dict(levels=(16, 32), blocks=1, groups=8) if kind is UNet else dict(width=32, depth=2)
    return kind(spatial=spatial, **{"channels": 2, **layout, "head_size": 16, **options})


def randomised(network):
    """Every parameter drawn anew, so that no zero hides a part."""
    for p in network.parameters():
        if p.ndim == 1:
            p.data += 0.2 * torch.randn_like(p)
        else:
            torch.nn.init.normal_(p, std=p[0].numel() ** -0.5)
    return network.eval()


def inputs(network, batch=3, size=None):
    """x, c_noise, and a dict of the conditions that the network takes."""
    x = torch.randn(batch, network.channels, *(size or SIZES[network.spatial]))
    conditions = {}
    if network.classes:
        conditions["label"] = torch.arange(batch) % (network.classes + 1)
    if network.scalars:
        conditions["scalars"] = torch.randn(batch, network.scalars)
    if network.tokens:
        conditions["tokens"] = torch.randn(batch, 4, network.tokens)
        conditions["tokens_mask"] = torch.arange(4) < torch.arange(batch)[:, None] % 5
    return x, torch.linspace(-2.3, 1.9, batch), conditions


EACH = [(kind, spatial) for kind in (UNet, DiT) for spatial in (1, 2, 3)]
