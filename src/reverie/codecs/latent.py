"""Pictures in the latents of an autoencoder."""

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.windows import ramps, starts
from ..errors import ReverieError
from ..files import fill, load_tensors, must_fit, save_tensors, write_json
from ..headers import header
from ..nn.autoencoder import Autoencoder
from ..reading import read_object
from .base import Codec
from .pixels import Pixels

FOLDER = "parts/codec"
"""Of a run: config.json and model.safetensors of its autoencoder."""
WHOLE, TILE, OVERLAP = 128, 64, 0.25
"""Positions a side up to which a latent is coded as a whole; beyond, those of a tile, and the share that two have in common."""
MOST = 2_000_000_000
"""Parameters of an autoencoder."""


@dataclass(frozen=True)
class Latent(Codec):
    """z = scale (mean - shift) of the mean of an autoencoder's latent, of `channels` channels at a `factor`-th of the size.

    `scale` and `shift` make z of about zero mean and unit spread: one number, or one for each channel. The autoencoder is
    a part of the run; `sha256` is its `identity`, and no other is used. What is larger than WHOLE x WHOLE positions is
    coded in overlapping tiles, blended as `core.windows` says, so that memory is that of one.
    """

    channels: int = 4
    factor: int = 8
    scale: tuple[float, ...] = (0.18215,)
    shift: tuple[float, ...] = (0.0,)
    sha256: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= 4096 or not 1 <= self.factor <= 1024 or not all(self.scale):
            raise ValueError("a latent has 1 to 4096 channels, a factor of 1 to 1024, and scales that are not 0")
        if any(len(one) not in (1, self.channels) for one in (self.scale, self.shift)):
            raise ValueError(f"scale and shift are of one number, or of {self.channels}")

    @classmethod
    def variants(cls) -> "tuple[Latent, ...]":
        """None: what it does depends on a network that is not here."""
        return ()

    @property
    def std(self) -> float:
        return 1.0

    @property
    def network(self) -> Autoencoder:
        """The autoencoder. Raises ReverieError where there is none, or another."""
        found: Autoencoder | None = getattr(self, "_network", None)
        if found is None:
            run: Path | None = getattr(self, "_run", None)
            if run is None:
                raise ReverieError("this codec has no autoencoder: load the run that it belongs to")
            found = read_autoencoder(run / FOLDER, self.sha256)
            self.use(found)
        return found

    def use(self, network: Autoencoder) -> "Latent":
        """The same codec with a network in memory. Raises ReverieError where its latents are others."""
        if (network.latent, network.factor) != (self.channels, self.factor):
            raise ReverieError(f"an autoencoder of {network.latent} channels at a {network.factor}-th of the size is not that of "
                               f"{self}")  # fmt: skip
        object.__setattr__(self, "_network", network.eval().requires_grad_(False))
        return self

    def attach(self, folder: Path) -> None:
        object.__setattr__(self, "_run", Path(folder))

    def shape(self, raw: Sequence[int]) -> tuple[int, ...]:
        """(C, *axes) of z of raw data of that shape. Raises ReverieError where there is none."""
        if raw[0] != self.network.channels or any(n % self.factor for n in raw[1:]):
            raise ReverieError(
                f"this autoencoder is of {self.network.channels} channels, and of sides that are multiples of {self.factor}: "
                f"not of {'x'.join(map(str, raw))}"
            )
        return (self.channels, *(n // self.factor for n in raw[1:]))

    def raw_shape(self, shape):
        return (self.network.channels, *(n * self.factor for n in shape[1:]))

    def store(self, folder: Path) -> None:
        write_autoencoder(self.network, folder / FOLDER)

    def encode(self, raw):
        """raw uint8 (B, 3, H, W) -> z (B, channels, H / factor, W / factor); sizes are multiples of the factor."""
        return self.latent(Pixels().encode(raw))

    @torch.no_grad()
    def latent(self, x: Tensor) -> Tensor:
        """z of pictures x (B, 3, H, W) in [-1, 1]. Raises ReverieError where sizes are no multiples of the factor."""
        if any(n % self.factor for n in x.shape[2:]):
            raise ReverieError(f"sizes are multiples of {self.factor}, not {'x'.join(map(str, x.shape[2:]))}")
        network, f = self.network.to(x.device), self.factor
        sides = x.shape[2] // f, x.shape[3] // f
        mean = by_tiles(
            lambda r, c: network.encode(x[..., r.start * f : r.stop * f, c.start * f : c.stop * f]), sides, 1
        )
        return (mean.float() - self._of(self.shift, x)) * self._of(self.scale, x)

    @torch.no_grad()
    def decode(self, z):
        network = self.network.to(z.device)
        mean = z.float() / self._of(self.scale, z) + self._of(self.shift, z)
        return Pixels().decode(by_tiles(lambda r, c: network.decode(mean[..., r, c]), z.shape[2:], self.factor))

    def _of(self, numbers: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(numbers, device=like.device).reshape(-1, *[1] * (like.ndim - 2))


def by_tiles(code: Callable[[slice, slice], Tensor], sides: Sequence[int], factor: int) -> Tensor:
    """What `code` makes of all positions of a latent of these sides, (B, C, factor h, factor w); at once, or tile by tile."""
    h, w = sides
    if h * w <= WHOLE**2:
        return code(slice(0, h), slice(0, w))
    tile = [min(n, TILE) for n in sides]
    at = [starts(n, side, OVERLAP) for n, side in zip(sides, tile)]
    weights = [ramps(n * factor, side * factor, [factor * i for i in each]) for n, side, each in zip(sides, tile, at)]
    whole: Tensor | None = None
    for (i, top), (j, left) in itertools.product(enumerate(at[0]), enumerate(at[1])):
        made = code(slice(top, top + tile[0]), slice(left, left + tile[1]))
        if whole is None:
            whole = made.new_zeros(*made.shape[:2], h * factor, w * factor)
        rows, columns = (slice(n * factor, n * factor + m) for n, m in zip((top, left), made.shape[2:]))
        whole[..., rows, columns] += made * (weights[0][i][:, None] * weights[1][j]).to(made)
    assert whole is not None
    return whole


def identity(network: nn.Module) -> str:
    """sha256 of the names, types, shapes and numbers of its tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_autoencoder(network: Autoencoder, folder: Path) -> None:
    """Writes config.json and model.safetensors."""
    save_tensors(folder / "model.safetensors", network.state_dict())
    write_json(folder / "config.json", network.config)


def read_autoencoder(folder: Path, wanted: str) -> Autoencoder:
    """Raises ReverieError where the folder holds none, or another than the one of that `identity`."""
    weights = folder / "model.safetensors"
    stated, config = header(weights), read_object(folder / "config.json")
    made = {name: tuple(one.shape) for name, one in sketched(config, str(folder / "config.json")).state_dict().items()}
    must_fit({name: one.shape for name, one in stated.items()}, made, str(weights), "the autoencoder of config.json")
    network = Autoencoder(**config)
    fill(network, load_tensors(weights), str(weights))
    if not wanted or identity(network) != wanted:
        raise ReverieError(
            f"{weights} is not the autoencoder that this model was trained with, {wanted[:16] or 'which it does not name'}"
        )
    return network


def sketched(config: Any, source: str) -> Autoencoder:
    """The autoencoder of these options with shapes and no memory. Raises ReverieError where it is none, or larger than any."""
    try:
        with torch.device("meta"):
            sketch = Autoencoder(**config)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ReverieError(f"{source} describes no autoencoder: {str(error)[:200]}") from None
    size = sum(p.numel() for p in sketch.parameters())
    if size > MOST:
        raise ReverieError(f"{source} describes an autoencoder of {size:.3g} parameters: more than any of ours")
    return sketch
