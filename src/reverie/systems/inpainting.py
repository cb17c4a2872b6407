"""The system that was trained to paint parts of pictures anew."""

import torch
from torch import Tensor

from ..codecs.latent import Latent
from ..codecs.pixels import Pixels
from ..core.denoisers import Beside, Denoiser
from .diffusion import Diffusion


class Inpainting(Diffusion):
    """A diffusion model of latents z whose network sees what is kept of the picture, as `maps`: where it is painted anew,
    1 or 0, beside the latent of the picture without that.

        z ~ p(z | maps),    maps = (repaint, encode((1 - repaint) x))

    Rombach et al. 2021, https://arxiv.org/abs/2112.10752. Where nothing is kept it makes pictures as any model does.
    `reverie edit inpaint` does the rest.
    """

    codec: Latent

    @classmethod
    def beside(cls, shape):
        return {"maps": shape[0] + 1}

    def beside_picture(self, denoiser: Denoiser, raw: Tensor, repaint: Tensor) -> Denoiser:
        """The denoiser of what goes with a picture uint8 (C, H, W) where `repaint`, bool (h, w) of positions of z, is false."""
        f = self.codec.factor
        free = repaint.repeat_interleave(f, 0).repeat_interleave(f, 1)
        z = self.codec.latent(Pixels().encode(raw[None]) * ~free)
        return Beside(denoiser, torch.cat([repaint[None, None].to(z), z], dim=1).to(self.device))

    def walk(self, denoiser, sampler, times, noise, told=lambda done, steps: None, which=None):
        blank, all_of_it = torch.zeros(self.raw_shape, dtype=torch.uint8), torch.ones(self.shape[1:], dtype=torch.bool)
        return super().walk(self.beside_picture(denoiser, blank, all_of_it), sampler, times, noise, told, which)
