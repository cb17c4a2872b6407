"""An autoencoder, in whose latents others learn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from .. import __version__
from ..core.noise import stream
from ..data.patches import load_patches
from ..errors import ReverieError, unknown
from ..features.perceptual import Perceptual
from ..files import fill
from ..modalities.images import Images
from ..nn.autoencoder import KINDS
from ..nn.autoencoder import Autoencoder as Network
from ..nn.discriminator import Discriminator
from ..systems.autoencoding import Autoencoding
from ..systems.base import Samples
from ..training.loop import seeded
from .base import option
from .card import BEGIN, END
from .learning import Training
from .opening import pictures
from .reconstruction import Reconstruction, Rivalry

SHOWN, MEASURED, SIDE = 10, 1024, 64


@dataclass(frozen=True)
class Autoencoder(Training):
    """Pictures to latents at a fraction of the positions, and back; then `reverie train FOLDER --codec RUN` learns in them.

    DATA is a folder of pictures, shards, or the name of a built-in set.
    """

    data: str = ""
    minutes: float | None = option(
        20.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    size: int | None = option(None, "of a folder of pictures: pixels of a side; chosen by the pictures")
    cut: bool = option(
        False,
        "learn from squares of that size cut out of the pictures; --held-out then keeps whole ones, the last by name",
    )
    shrink: str | None = option(
        None,
        "with --cut, times that pictures are made smaller first, or several as 2,4,8; 2 for large ones: cameras leave noise",
    )
    kind: str = option("kl", "of the latent: kl, numbers held near a Gaussian, or vq, learned codes")
    codes: int = option(1024, "of vq: how many there are")
    latent: int = option(4, "channels of the latent")
    levels: str = option("32,64,96", "channels of each level, finest first; each but the last halves the sides")
    blocks: int = option(1, "residual blocks of a level")
    regular: float = option(
        1e-4, "weight of what keeps the latent regular: its divergence from a Gaussian, or the distance to its codes"
    )
    perceptual: float = option(
        0.5, "weight of how differently they look, by features of `reverie data get efficientnet_lite0`; 0 is none"
    )
    adversarial: float = option(
        0.0, "share of being taken for real, patch by patch, by a network that learns to tell; 0.5 in long trainings"
    )
    warmup: int = option(2_000, "samples over which the learning rate rises")

    after: ClassVar[str] = "Learn in its latents with"
    command: ClassVar[str] = "reverie train DATA --codec {run}"

    def dataset(self):
        if not self.cut:
            return pictures(self.data, self.size)
        if not Path(self.data).is_dir():
            raise ReverieError(
                f"{self.data or 'no folder'} is not a folder of pictures, which --cut takes squares from"
            )
        return load_patches(Path(self.data), self.size or SIDE, self.held_out, self.shrink)

    def checked(self):
        super().checked()
        if self.shrink is not None and not self.cut:
            raise ReverieError(
                "--shrink makes pictures smaller that --cut takes squares from: say --cut, or leave it out"
            )
        if self.kind not in KINDS:
            raise unknown("kind of latent", self.kind, KINDS)
        for name in ("regular", "perceptual", "adversarial"):
            if not 0 <= (value := getattr(self, name)) < 1e6:
                raise ReverieError(f"{name} is a weight of 0 or more, not {value}")
        self.config(3)

    def shared_among(self, processes):
        super().shared_among(processes)
        if processes > 1 and self.adversarial:
            raise ReverieError(
                "what tells real from made is trained by one process alone: leave out --adversarial, or the others"
            )

    def config(self, channels: int) -> dict[str, Any]:
        """The options of the network. Raises ReverieError where there is none such."""
        try:
            levels = tuple(int(one) for one in self.levels.split(","))
            sketch = {"channels": channels, "latent": self.latent, "levels": levels, "blocks": self.blocks, "groups": 8,
                      "kind": self.kind, "codes": self.codes if self.kind == "vq" else 0}  # fmt: skip
            with torch.device("meta"):
                Network(**sketch)
        except (ValueError, TypeError) as error:
            raise ReverieError(f"there is no such autoencoder: {error}") from None
        return sketch

    def system(self, data):
        if data.raw.dtype != torch.uint8:
            raise ReverieError("autoencoders are of pictures of 256 levels")
        with seeded(stream(self.seed, "weights")):
            network = Network(**self.config(data.shape[0]))
        about = {"name": data.name, "licence": data.licence, "source": data.source if type(self).data else "",
                 "data": data.fingerprint(), "count": len(data)}  # fmt: skip
        return Autoencoding(network, data.shape, Images(), about=about)

    def loss(self, system):
        eyes = Perceptual() if self.perceptual else None
        rival = None
        if self.adversarial:
            with seeded(stream(self.seed, "rival")):
                rival = Discriminator(channels=system.shape[0])
        return Reconstruction(system, getattr(torch, self.dtype or "float32"), self.regular, eyes, self.perceptual, rival,
                              self.adversarial)  # fmt: skip

    def rivals(self, loss):
        assert isinstance(loss, Reconstruction)
        rival = loss.beside[2]
        return [Rivalry(rival, loss)] if rival is not None else []

    def preview(self, system, data) -> Samples:
        """Pictures above what becomes of them."""
        some = (data.test if data.test is not None else data).raw[:SHOWN]
        return Samples(torch.cat([some, system.reconstruct(some)]))

    def finish(self, system, data, average, early):
        """Measures the mean and the spread of each channel of the latent."""
        bare = system.network
        network = type(bare)(**bare.config)
        fill(network, {**bare.state_dict(), **average}, "the averaged weights")
        shown = Autoencoding(network, system.shape, system.modality)
        rows = torch.arange(min(MEASURED, len(data))) * len(data) // min(MEASURED, len(data))
        z = torch.cat([shown.latent.encode(data.raw[part]) for part in rows.split(64)]).double()
        axes = (0, 2, 3)
        system.shift = tuple(z.mean(axes).tolist())
        system.scale = tuple((1 / z.std(axes).clamp(min=1e-6)).tolist())

    def card(self, system: Autoencoding, folder: Path) -> str:
        about, name = system.about, folder.absolute().name
        grids = sorted(path.name for path in (folder / "samples").glob("*-ema.png"))
        shown = f"\n![Pictures, and what becomes of them](samples/{grids[-1]})\n" if grids else ""
        network = system.network
        latent = f"{network.latent} channels at a {network.factor}-th of the sides, {system.bits:.3g} bits a pixel"
        return f"""# {name}

An autoencoder of {about["name"]}, pictures of {"x".join(map(str, system.shape))}, made by Reverie.
{shown}
| | |
| --- | --- |
| data | {about["name"]}, {about["count"]:,} samples; {about["source"] or "no source stated"} |
| licence of the data | {about["licence"] or "not stated: ask whoever made them before sharing"} |
| latent | {network.kind}, {latent} |
| trained on | {about["seen"]:,} samples of {self.samples:,}, in batches of {self.batch}, {self.dtype} |
| loss | mean absolute error, {self.perceptual:g} perceptual, {self.regular:g} regular, {self.adversarial:g} adversarial |
| network | {sum(p.numel() for p in network.parameters()):,} parameters |
| seed | {self.seed} |
| versions | reverie {__version__}, torch {torch.__version__} |

    reverie train DATA --codec {name}
    reverie evaluate {name}

`recipe.json` holds every option that made it.

## Figures

{BEGIN}
Not measured yet.
{END}
"""
