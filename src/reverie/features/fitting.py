"""The training of a small classifier, from tensors."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import signed
from .classifier import Network


def shifted(x: Tensor, by: int, generator: torch.Generator) -> Tensor:
    """Each picture (B, C, H, W) moved by up to `by` pixels along both axes; its edge is repeated."""
    B, _, H, W = x.shape
    rows, columns = (torch.randint(-by, by + 1, (B, 1), generator=generator) for _ in range(2))
    rows = (torch.arange(H) + rows).clamp(0, H - 1)
    columns = (torch.arange(W) + columns).clamp(0, W - 1)
    return x[torch.arange(B)[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def mirrored(x: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures (B, C, H, W), left to right."""
    chosen = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], x.flip(3), x)


def fit(
    x: Tensor, y: Tensor, *, widths: tuple[int, ...] = (32, 64, 128), epochs: int = 12, batch: int = 128,
    rate: float = 0.1, shift: int = 1, mirror: bool = False, seed: int = 0, bf16: bool = False,
) -> Iterator[tuple[int, float, Network]]:  # fmt: skip
    """Trains on pictures x (N, C, H, W) uint8 with classes y (N,), by SGD with Nesterov momentum 0.9, weight decay 5e-4
    and one cycle of the learning rate. Yields (epoch, mean loss, network) after every epoch; `seed` decides all chance.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(x.shape[1], widths, int(y.max()) + 1, norm=True).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = len(x) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=epochs * steps)
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for index in torch.randperm(len(x), generator=generator)[: steps * batch].split(batch):
            pictures = shifted(signed(x[index]), shift, generator) if shift else signed(x[index])
            pictures = mirrored(pictures, generator) if mirror else pictures
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(
                    network(pictures.contiguous(memory_format=torch.channels_last)).float(), y[index]
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        yield epoch, total / steps, network.eval()
