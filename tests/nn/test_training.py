"""Each backbone over each number of axes learns real pictures: handwritten digits, their rows as sequences, their stacks."""

import math

import pytest
import torch

from reverie.nn.dit import DiT
from reverie.nn.unet import UNet

STEPS, DIGITS = 110, 48
NETWORKS = {
    "pictures": lambda: UNet(2, 1, levels=(24, 48), blocks=1, groups=8),
    "sequences": lambda: UNet(1, 8, levels=(64, 64), blocks=1, groups=8),
    "volumes": lambda: UNet(3, 1, levels=(24, 32), blocks=1, groups=8),
    "pictures, transformer": lambda: DiT(2, 1, width=128, depth=3),
    "sequences, transformer": lambda: DiT(1, 8, patch=1, width=128, depth=3),
    "volumes, transformer": lambda: DiT(3, 1, patch=(1, 2, 2), width=128, depth=3),
}


def digits(kind):
    """1796 digits in [-1, 1], as pictures (1, 8, 8), sequences of rows (8, 8) or volumes of four (1, 4, 8, 8)."""
    datasets = pytest.importorskip("sklearn.datasets")
    x = torch.tensor(datasets.load_digits().images, dtype=torch.float32)[:1796] / 8 - 1
    return {"p": x[:, None], "s": x, "v": x.reshape(-1, 1, 4, 8, 8)}[kind[0]]


def denoising_loss(network, x, t, eps, std):
    """|x_hat - x|^2 / c_out^2 an entry, x_hat = c_skip x_t + c_out F(c_in x_t, log_snr / 8), x_t = cos x + sin eps.

    1 before training, where F = 0. Karras et al. 2022, https://arxiv.org/abs/2206.00364
    """
    alpha, sigma = ((t * math.pi / 2).cos(), (t * math.pi / 2).sin())
    c_noise = 2 * (alpha / sigma).log() / 8
    alpha, sigma = (c.reshape(-1, *[1] * (x.ndim - 1)) for c in (alpha, sigma))
    x_t, c_in = alpha * x + sigma * eps, (alpha**2 * std**2 + sigma**2).rsqrt()
    c_skip, c_out = alpha * std**2 * c_in**2, sigma * std * c_in
    return (network(c_in * x_t, c_noise) - (x - c_skip * x_t) / c_out).square().mean()


def trained_loss(network, x):
    """The loss on held-out data at fixed noise and levels, after `STEPS` steps of `DIGITS` digits each."""
    free, std, batch = torch.Generator().manual_seed(0), x.std(), DIGITS * 64 // x[0].numel()
    learned, held_out = x.split([len(x) * 5 // 6, len(x) - len(x) * 5 // 6])
    levels = lambda n: 0.02 + 0.96 * ((torch.arange(n) + torch.rand(1, generator=free)) / n)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, betas=(0.9, 0.99), weight_decay=0.0)
    pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / 20, 1.0) * (1 - i / STEPS))
    for _ in range(STEPS):
        rows = torch.randint(len(learned), (batch,), generator=free)
        eps = torch.randn(learned[rows].shape, generator=free)
        denoising_loss(network, learned[rows], levels(batch), eps, std).backward()
        optimizer.step(), optimizer.zero_grad(), pace.step()
    free.manual_seed(1)
    with torch.no_grad():
        eps = torch.randn(held_out.reshape(-1, 64).shape, generator=free).reshape(held_out.shape)
        return denoising_loss(network.eval(), held_out, levels(len(held_out)), eps, std).item()


@pytest.mark.slow
def test_every_backbone_learns_as_well_as_the_picture_unet():
    losses = {}
    for kind, make in NETWORKS.items():
        torch.manual_seed(0)
        losses[kind] = trained_loss(make(), digits(kind))
    print({kind: round(loss, 3) for kind, loss in losses.items()})
    assert losses["pictures"] < 0.55, losses
    assert max(losses.values()) < 1.5 * losses["pictures"], losses
