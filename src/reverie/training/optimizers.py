"""The optimizers that a recipe can name, each of what a loss trains: (loss, learning rate, weight decay, dtype)."""

from collections.abc import Callable

import torch
from torch import nn

from .muon import Muon, parted


def adamw(loss: nn.Module, rate: float, decay: float, dtype: torch.dtype) -> torch.optim.Optimizer:
    """Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101"""
    trained = [p for p in loss.parameters() if p.requires_grad]
    return torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.99), weight_decay=decay, fused=True)


def muon(loss: nn.Module, rate: float, decay: float, dtype: torch.dtype) -> torch.optim.Optimizer:
    return Muon(*parted(loss), lr=rate, betas=(0.9, 0.99), weight_decay=decay, dtype=dtype)


OPTIMIZERS: dict[str, Callable[[nn.Module, float, float, torch.dtype], torch.optim.Optimizer]] = {
    "muon": muon,
    "adamw": adamw,
}
RATES = {"muon": 4e-3, "adamw": 2e-3}
"""The learning rates that served small budgets best."""
