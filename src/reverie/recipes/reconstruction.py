"""What autoencoders are trained by: to give back what they got, as the eye sees it, and to be taken for real."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.noise import Noise
from ..features.perceptual import Perceptual
from ..nn.discriminator import Discriminator
from ..systems.autoencoding import Autoencoding


class Reconstruction(nn.Module):
    """E[L + w_r R / |x| - w_a g D(x_hat)], L = |x_hat - x| + w_p d(x_hat, x): x in [-1, 1], |x| its count of numbers, d what a
    network sees of the difference, R what keeps the latent regular, D what tells real patches from made ones.

    g = |grad L| / |grad D(x_hat)|, of the last weights, so that w_a is the share that being taken for real has in what those
    learn, however sure D is. Each part is a mean over samples, the first over numbers too.
    Esser et al. 2020, https://arxiv.org/abs/2012.09841; Rombach et al. 2021, https://arxiv.org/abs/2112.10752
    """

    def __init__(
        self, system: Autoencoding, dtype: torch.dtype, regular: float, eyes: Perceptual | None = None, perceptual: float = 0.0,
        rival: Discriminator | None = None, adversarial: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network = system.network
        self.beside = (system, eyes, rival)
        """What is no part of what is trained here."""
        self.dtype, self.weights = dtype, (regular, perceptual, adversarial)

    def made(self, x: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        system: Any = self.beside[0]
        bare = self.network
        shape = (len(x), bare.latent, *(n // bare.factor for n in x.shape[2:]))
        unit = noise.draw(torch.empty(shape, device=x.device)) if bare.codes is None else None
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != torch.float32):
            x_hat, regular = system.network(x, unit)
        return x_hat.float(), regular.float()

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        _, eyes, rival = self.beside
        weight, perceptual, adversarial = self.weights
        x_hat, regular = self.made(x, noise)
        loss = (x_hat - x).abs().mean()
        if eyes is not None:
            loss = loss + perceptual * eyes.to(x.device)(x_hat, x).mean()
        if rival is not None and torch.is_grad_enabled():
            rival.requires_grad_(False)  # its gradients are its own loss's
            taken, last = rival.to(x.device)(x_hat).mean(), self.network.decoder.head.weight
            rival.requires_grad_(True)
            own, theirs = (torch.autograd.grad(part, last, retain_graph=True)[0].norm() for part in (loss, taken))
            loss = loss - adversarial * (own / theirs.clamp(min=1e-8)) * taken
        return loss + weight * regular.mean() / x[0].numel()


class Rivalry(nn.Module):
    """The hinge loss of what tells real from made, E[max(0, 1 - D(x)) + max(0, 1 + D(x_hat))]. Lim & Ye 2017,
    https://arxiv.org/abs/1705.02894
    """

    def __init__(self, rival: Discriminator, reconstruction: Reconstruction) -> None:
        super().__init__()
        self.rival, self.beside = rival, (reconstruction,)

    def forward(self, x: Tensor, noise: Noise) -> Tensor:
        with torch.no_grad():
            x_hat, _ = self.beside[0].made(x, noise)
        return F.relu(1 - self.rival(x)).mean() + F.relu(1 + self.rival(x_hat)).mean()
