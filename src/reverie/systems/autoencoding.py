"""The system of an autoencoder alone: pictures to latents, in which others learn, and back."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import modalities
from ..codecs.latent import Latent, identity, sketched
from ..codecs.pixels import Pixels
from ..conditioning.unconditional import Unconditional
from ..discover import construct, describe
from ..errors import ReverieError
from ..modalities.base import Modality
from ..nn.autoencoder import Autoencoder
from .base import System
from .bounds import check_about, check_keys, check_shape

NOTHING = "this is an autoencoder, which makes nothing of its own: reverie train DATA --codec RUN learns in its latents"
KEYS = ("about", "modality", "shape", "autoencoder", "scale", "shift")


class Autoencoding(System):
    """An autoencoder of pictures (C, H, W), and the `scale` and `shift` under which its latents have zero mean and unit spread.

    `latent` is the codec that others learn in; `reconstruct` is there and back.
    """

    def __init__(
        self, network: Autoencoder, shape: Sequence[int], modality: Modality, scale: Sequence[float] = (1.0,),
        shift: Sequence[float] = (0.0,), about: Mapping[str, Any] = {},
    ) -> None:  # fmt: skip
        if network.spatial != 2 or network.channels != shape[0] or any(n % network.factor for n in shape[1:]):
            raise ReverieError(
                f"an autoencoder of {network.channels} channels that halves {network.factor} times over is none of "
                f"{'x'.join(map(str, shape))}"
            )
        self._network, self.shape, self.modality, self.about = network, tuple(shape), modality, dict(about)
        self.scale, self.shift = tuple(scale), tuple(shift)
        self.codec, self.conditioner = Pixels(), Unconditional()

    @property
    def network(self):
        return self._network

    @network.setter
    def network(self, network):
        self._network = network

    @property
    def raw_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def latent(self) -> Latent:
        """The codec. Raises ReverieError where its statistics are of other channels."""
        try:
            codec = Latent(self.network.latent, self.network.factor, self.scale, self.shift, identity(self.network))
        except ValueError as error:
            raise ReverieError(f"model.json describes no autoencoder: {error}") from None
        return codec.use(self.network)

    def reconstruct(self, raw: Tensor, batch: int = 64) -> Tensor:
        """uint8 (N, C, H, W), there and back."""
        codec = self.latent
        return torch.cat([codec.decode(codec.encode(part.to(self.device))).cpu() for part in raw.split(batch)])

    @property
    def bits(self) -> float:
        """Of a latent, a pixel of the picture: of codes their logarithm, of numbers 16 each."""
        network = self.network
        each = 16.0 * network.latent if network.codes is None else torch.tensor(len(network.codes.weight)).log2().item()
        return each / network.factor**2

    def generate(self, n=16, **options):
        raise ReverieError(NOTHING)

    def batches(self, n=16, **options):
        raise ReverieError(NOTHING)

    def describe(self):
        return {
            "about": self.about, "modality": describe(self.modality), "shape": list(self.shape),
            "autoencoder": self.network.config, "scale": list(self.scale), "shift": list(self.shift),
        }  # fmt: skip

    @classmethod
    def build(cls, description):
        check_keys(description, KEYS)
        check_shape(description["shape"])
        check_about(description["about"])
        for name in ("scale", "shift"):
            numbers = description[name]
            if not isinstance(numbers, list) or not all(type(one) in (int, float) for one in numbers):
                raise ReverieError(f"model.json: {name} is a list of numbers, not {str(numbers)[:40]}")
        sketched(description["autoencoder"], "model.json")
        modality: Modality = construct("modality", modalities, Modality, description["modality"])
        made = cls(Autoencoder(**description["autoencoder"]), description["shape"], modality, description["scale"],
                   description["shift"], description["about"])  # fmt: skip
        _ = made.latent
        return made

    @classmethod
    def shapes(cls, description):
        sketch = sketched(description.get("autoencoder"), "model.json")
        return {name: tuple(one.shape) for name, one in sketch.state_dict().items()}
