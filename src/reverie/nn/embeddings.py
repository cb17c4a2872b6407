"""Embeddings of what is said about a sample: how noisy it is, its label, its scalars."""

import math

import torch
from torch import Tensor, nn


def sinusoid(c: Tensor, width: int, shift: int = 0) -> Tensor:
    """Cosines and sines of a number at frequencies from 1 down to about 1e-4, in float32; c (B,) -> (B, width).

        [cos(c f_i), sin(c f_i)],    f_i = 10000^(-i / (width / 2 - shift))

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; cosines first, as Ho et al. 2020's successors do.
    """
    half = width // 2
    frequencies = torch.exp(
        -math.log(10_000) / max(half - shift, 1) * torch.arange(half, dtype=torch.float32, device=c.device)
    )
    angles = c.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Conditions(nn.Module):
    """One vector for c_noise, label and scalars: the sum of an MLP of the sinusoid, a row of a table, and an MLP.

    `noise_scale` multiplies c_noise first, so that its range meets the frequencies.
    """

    def __init__(
        self, features: int, width: int, classes: int, scalars: int, noise_scale: float, shift: int = 0
    ) -> None:
        super().__init__()
        self.features, self.noise_scale, self.shift = features, noise_scale, shift
        self.noise = mlp(features, width)
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.scalars = mlp(scalars, width) if scalars else None

    def forward(self, c_noise: Tensor, label: Tensor | None, scalars: Tensor | None) -> Tensor:
        """c_noise (B,), label (B,), scalars (B, S) -> (B, width)."""
        dtype = next(self.noise.parameters()).dtype
        vector = self.noise(sinusoid(self.noise_scale * c_noise.float(), self.features, self.shift).to(dtype))
        if self.label is not None:
            vector = vector + self.label(label)
        if self.scalars is not None and scalars is not None:
            vector = vector + self.scalars(scalars.to(dtype))
        return vector


def mlp(inner: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inner, width), nn.SiLU(), nn.Linear(width, width))
