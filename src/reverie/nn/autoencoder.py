"""Autoencoders over 1, 2 or 3 axes: what is sampled in their latents is sampled at a fraction of the positions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .attention import SelfAttention
from .base import real, remembering, truth, whole, wholes
from .convolutions import Convolution
from .norms import Norm
from .unet import Double, Halve

KINDS = ("kl", "vq")


class Autoencoder(nn.Module):
    """x (B, channels, *axes) to a latent of `latent` channels at a 2^(levels - 1)-th of the positions an axis, and back.

    A `kl` autoencoder's latent is Gaussian, of a mean and a log-variance held to [-30, 20]; a `vq` one's is the nearest of
    `codes` learned vectors at each position. The mean is regular; the spread is that of whatever it was trained on, which
    the codec around it measures.

    The layout is that of diffusers' `AutoencoderKL` and `VQModel`: see `layouts`.
    Rombach et al. 2021, https://arxiv.org/abs/2112.10752; van den Oord et al. 2017, https://arxiv.org/abs/1711.00937
    """

    config: dict[str, Any]
    """The keyword arguments that made it, defaults included: plain data, fit for JSON."""

    @remembering  # type: ignore[arg-type]
    def __init__(
        self,
        spatial: int = 2,
        channels: int = 3,
        latent: int = 4,
        levels: Sequence[int] = (32, 64, 64),
        blocks: int = 1,
        groups: int = 32,
        attention: bool = True,
        kind: str = "kl",
        codes: int = 0,
        width: int | None = None,
        mixes: bool = True,
        eps: float = 1e-6,
    ) -> None:
        """`levels` are channels, finest first; `attention` is that of the middle. `width` is that of the codes, that of the
        latent unless told otherwise; `mixes` is whether a 1x1 convolution stands on each side of the latent.

        Raises ValueError for a number out of bounds.
        """
        super().__init__()
        spatial, channels, latent = (
            whole("spatial", spatial, 1, 3),
            whole("channels", channels, 1, 2**16),
            whole("latent", latent, 1, 2**12),
        )
        levels, blocks = wholes("levels", levels, 1, 2**14, most=10), whole("blocks", blocks, 1, 32)
        groups, attention, mixes = (
            whole("groups", groups, 1, 2**14),
            truth("attention", attention),
            truth("mixes", mixes),
        )
        eps = real("eps", eps, 0, 1)
        if kind not in KINDS:
            raise ValueError(f"kind is kl or vq, not {str(kind)[:40]}")
        codes = whole("codes", codes, 2 if kind == "vq" else 0, 2**20 if kind == "vq" else 0)
        width = latent if width is None else whole("width", width, 1, 2**12)
        self.spatial, self.channels, self.latent, self.kind = spatial, channels, latent, kind
        self.factor = 2 ** (len(levels) - 1)
        """How many positions of x an axis become one of the latent."""
        moments = 2 * latent if kind == "kl" else latent
        self.encoder = Encoder(spatial, channels, moments, levels, blocks, groups, attention)
        outer = moments if kind == "kl" else width
        self.before = Convolution(spatial, moments, outer, size=1) if mixes else nn.Identity()
        self.after = Convolution(spatial, latent if kind == "kl" else width, latent, size=1) if mixes else nn.Identity()
        self.decoder = Decoder(spatial, channels, latent, levels, blocks, groups, attention)
        self.codes: nn.Embedding | None = nn.Embedding(codes, width) if kind == "vq" else None
        if self.codes is not None:
            nn.init.uniform_(self.codes.weight, -1 / codes, 1 / codes)
        for part in self.modules():
            if isinstance(part, Norm):
                part.eps = eps

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent of x, (B, latent, *axes) each; of `kl` alone."""
        mean, log_variance = self.before(self.encoder(x)).chunk(2, dim=1)
        return mean, log_variance.clamp(-30, 20)

    def encode(self, x: Tensor) -> Tensor:
        """The latent of x (B, channels, *axes), without noise and before its codes are looked up; sizes are multiples of
        `factor`.
        """
        return self.moments(x)[0] if self.kind == "kl" else self.before(self.encoder(x))

    def nearest(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The codes nearest to z (B, width, *axes), and their places (B, *axes); of `vq` alone."""
        assert self.codes is not None
        rows = z.movedim(1, -1)
        place = torch.cdist(rows.reshape(1, -1, rows.shape[-1]).float(), self.codes.weight[None].float())[0].argmin(1)
        place = place.reshape(rows.shape[:-1])
        return self.codes(place).movedim(-1, 1), place

    def decode(self, z: Tensor) -> Tensor:
        """x (B, channels, *axes) of a latent; the nearest codes are taken first, where there are codes."""
        return self.decoder(self.after(self.nearest(z)[0] if self.codes is not None else z))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(x_hat, what keeps the latent regular, (B,)): of a latent drawn with unit `noise` shaped like it, or of its mean; the
        divergence from a unit Gaussian. Where there are codes, of the nearest ones, through which gradients go straight, and
        what brings codes and latent together, summed over positions.
        """
        if self.codes is None:
            mean, log_variance = self.moments(x)
            z = mean if noise is None else mean + (0.5 * log_variance).exp() * noise
            return self.decode(z), divergence(mean, log_variance)
        z = self.encode(x)
        codes, loss = committed(z, self.nearest(z)[0])
        return self.decoder(self.after(codes)), loss


class Encoder(nn.Module):
    """Residual blocks at halving resolutions; zeros are padded after each axis alone, as in the checkpoints there are."""

    def __init__(
        self, spatial: int, channels: int, out: int, levels: Sequence[int], blocks: int, groups: int, attention: bool
    ) -> None:
        super().__init__()
        self.stem = Convolution(spatial, channels, levels[0])
        self.down, now = nn.ModuleList(), levels[0]
        for i, outer in enumerate(levels):
            stages = [Plain(spatial, now if j == 0 else outer, outer, groups) for j in range(blocks)]
            self.down.append(Resolution(stages, Halve(spatial, outer, centred=False) if i + 1 < len(levels) else None))
            now = outer
        self.middle = Middle(spatial, now, groups, attention)
        self.norm, self.head = Norm(now, groups), Convolution(spatial, now, out)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x.to(self.stem.weight.dtype))
        for one in self.down:
            h = one(h)
        return self.head(self.norm(self.middle(h), activate=True))


class Decoder(nn.Module):
    """The same up again, with a block more at each resolution."""

    def __init__(
        self, spatial: int, channels: int, latent: int, levels: Sequence[int], blocks: int, groups: int, attention: bool
    ) -> None:
        super().__init__()
        now = levels[-1]
        self.stem = Convolution(spatial, latent, now)
        self.middle = Middle(spatial, now, groups, attention)
        self.up = nn.ModuleList()
        for i, outer in reversed(list(enumerate(levels))):
            stages = [Plain(spatial, now if j == 0 else outer, outer, groups) for j in range(blocks + 1)]
            self.up.append(Resolution(stages, Double(spatial, outer) if i > 0 else None))
            now = outer
        self.norm, self.head = Norm(now, groups), Convolution(spatial, now, channels)

    def forward(self, z: Tensor) -> Tensor:
        h = self.middle(self.stem(z.to(self.stem.weight.dtype)))
        for one in self.up:
            h = one(h)
        return self.head(self.norm(h, activate=True))


class Resolution(nn.Module):
    """Blocks, then the way to the next resolution."""

    def __init__(self, stages: "list[Plain]", resample: nn.Module | None) -> None:
        super().__init__()
        self.stages, self.resample = nn.ModuleList(stages), resample

    def forward(self, h: Tensor) -> Tensor:
        for one in self.stages:
            h = one(h)
        if isinstance(self.resample, Double):
            return self.resample(h, [2 * n for n in h.shape[2:]])
        return h if self.resample is None else self.resample(h)


class Middle(nn.Module):
    """Two blocks at the coarsest resolution, positions attending to each other between them where asked."""

    def __init__(self, spatial: int, width: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Plain(spatial, width, width, groups) for _ in range(2)])
        self.attention = SelfAttention(Norm(width, groups), width) if attention else None

    def forward(self, h: Tensor) -> Tensor:
        h = self.stages[0](h)
        return self.stages[1](h if self.attention is None else self.attention(h))


class Plain(nn.Module):
    """skip(x) + conv_2(silu(norm_2(conv_1(silu(norm_1(x)))))), told nothing."""

    def __init__(self, spatial: int, inner: int, outer: int, groups: int) -> None:
        super().__init__()
        self.norm_1, self.conv_1 = Norm(inner, groups), Convolution(spatial, inner, outer)
        self.norm_2, self.conv_2 = Norm(outer, groups), Convolution(spatial, outer, outer)
        self.skip = Convolution(spatial, inner, outer, size=1) if inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_1(self.norm_1(x, activate=True))
        return self.skip(x) + self.conv_2(self.norm_2(h, activate=True))


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of each sample, (B,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)


def committed(z: Tensor, codes: Tensor, weight: float = 0.25) -> tuple[Tensor, Tensor]:
    """(codes whose gradient goes to z, the loss of each sample that brings codes and z together): van den Oord et al. 2017."""
    loss = (codes - z.detach()).square() + weight * (z - codes.detach()).square()
    return z + (codes - z).detach(), loss.flatten(1).sum(1)
