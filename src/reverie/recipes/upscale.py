"""Enlarging, learned from a folder of photographs."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..codecs.detail import Detail, contrast, enlarged, fitted
from ..conditioning.scalars import Scalars
from ..data.base import Dataset
from ..data.degradations import levels, shrunk
from ..data.patches import load_patches
from ..errors import ReverieError
from ..modalities.images import Images
from ..systems.base import Samples
from ..systems.super_resolution import SuperResolution
from .base import option
from .generation import Generation
from .pairs import Pairs

SHOWN, MEASURED, POSITIONS = 10, 512, 100_000
ROUNDING = (1 / 127.5) ** 2 / 12
"""The variance of what rounding to levels changes: no spread is less."""


@dataclass(frozen=True)
class Upscale(Generation):
    """Learn to enlarge pictures from your own folder of photographs; pairs of small and large are made by themselves.

    Smaller, blurred, noisy and compressed pictures of every patch, each in a way of its own; then
    `reverie edit upscale RUN --image PICTURE`.
    """

    data: str = ""
    minutes: float | None = option(
        30.0, "train for about this long; the samples it amounts to are measured at the start"
    )
    size: int = option(64, "pixels of a side that the network sees at once, a tile of what it enlarges")
    factors: str = option("2,4,8", "how many times it learns to enlarge")
    noise: float = option(12.0, "the most noise in small pictures that it learns to take away, in levels of 255")
    shrink: str | None = option(
        None,
        "times that pictures are made smaller before all else, or several as 2,4,8; 2 for large ones, where cameras leave noise",
    )
    held_out: int = option(0, "whole pictures, the last by name, kept from training")
    flat: float = option(0.3, "share of the patches that is left out, those with the least detail")
    network: str | None = option(
        "unet(levels=(48, 96), blocks=1, attention=(False, False), groups=8, patch=2)",
        "attending nowhere, so that it does the same whatever the tile",
    )
    density: str = option(
        "lognormal(mean=0.2, std=1.6)",
        "noise levels trained on; more of the high ones, which the small picture tells much of",
    )
    dropout: float = option(0.0, "the condition, here the small picture, is never left out")
    sampler: str = option(
        "ddim(eta=1.0)", "when enlarging, unless another is asked for; others draw wrong detail sooner"
    )
    sample_steps: int = option(
        4, "when enlarging, unless another number is asked for; more draw more, and wrong detail sooner"
    )

    loudest = 20.0
    kind, after, command = SuperResolution, "Enlarge a picture with", "reverie edit upscale {run} --image PICTURE"

    def checked(self):
        super().checked()
        if self.augment or self.dropout:
            raise ReverieError("upscale mirrors and turns by itself and always sees the small picture: leave out --augment "
                               "and --dropout")  # fmt: skip
        if not 8 <= self.size <= 1024 or self.size % max(self.whole_factors()):
            raise ReverieError(f"the size is a multiple of the largest factor, from 8 to 1024, not {self.size}")
        if not 0 <= self.noise <= 128:
            raise ReverieError(f"noise is from 0 to 128 levels, not {self.noise:g}")
        if not 0 <= self.flat < 1:
            raise ReverieError(f"flat is a share below 1, not {self.flat:g}")

    def whole_factors(self) -> tuple[int, ...]:
        try:
            found = tuple(int(one) for one in self.factors.split(","))
            Detail(found, *[(1.0,) * len(found)] * 3)
        except ValueError:
            raise ReverieError(
                f"factors are whole numbers from 2 to 64 such as '2,4,8', not {self.factors!r}"
            ) from None
        return found

    @property
    def side(self) -> int:
        """Of patches, out of which squares of `size` are cut."""
        largest = max(self.whole_factors())
        return -(-3 * self.size // 2 // largest) * largest

    def dataset(self):
        if not self.data or not Path(self.data).is_dir():
            raise ReverieError(f"{self.data or 'no folder'} is not a folder of pictures: reverie train upscale FOLDER")
        data = load_patches(Path(self.data), self.side, self.held_out, self.shrink)
        assert isinstance(data.raw, torch.Tensor)
        left = detailed(data.raw, max(self.whole_factors()), self.flat)
        if len(left) == len(data):
            return data
        kept = data.take(left)
        kept.test = data.test
        return kept

    def shape(self, data):
        return data.shape[0], self.size, self.size

    def parts(self, data):
        factors = self.whole_factors()
        return self.detail(data), Scalars(
            ("factor", "noise"), (sum(factors) / len(factors), self.noise / 4),
            (max(1.0, torch.tensor(factors).double().std(correction=0).item()), max(1.0, self.noise / 2)), dropout=0.0,
        ), Images()  # fmt: skip

    def detail(self, data: Dataset) -> Detail:
        """With the spreads of what block means leave out, fitted."""
        every = max(1, len(data) // MEASURED)
        x = data.raw[torch.arange(0, len(data), every)].float() / 127.5 - 1
        factors = self.whole_factors()
        numbers = []
        for f in factors:
            m = enlarged(levels(shrunk(x, f)), f)
            lost = (x - m).square().mean(1)
            if not lost.any():
                raise ReverieError(f"{data.name}: its pictures have no detail that a smaller one would lack")
            every = -(-lost.numel() // POSITIONS)
            lost, c = (one.flatten()[::every] for one in (lost + ROUNDING, contrast(m, f)))
            numbers.append((lost.double().mean().sqrt().item(), *fitted(lost, c)))
        return Detail(factors, *zip(*numbers, strict=True))

    def augmentation(self, data):
        return Pairs(self.detail(data), self.size, self.noise)

    def preview(self, system, data):
        """A row of patches enlarged by interpolation, one by the model, one as they are; those held out where there are."""
        some = data.test or data
        factor = sorted(system.codec.factors)[len(system.codec.factors) // 2]
        rows = torch.linspace(0, len(some) - 1, SHOWN).long()
        cut = some.raw[rows][..., : self.size, : self.size]
        y = levels(shrunk(cut.float() / 127.5 - 1, factor))
        small = ((y + 1) * 127.5).round().to(torch.uint8)
        made = system.enlarge(small, factor, self.seed)
        raw = torch.cat([system.codec.decode(enlarged(y, factor)), made, cut])
        return Samples(raw, {}, {"factor": factor, "seed": self.seed}, list(range(len(raw))))


def detailed(raw: torch.Tensor, factor: int, flat: float) -> torch.Tensor:
    """The indices of all but the share `flat` of patches uint8 (N, C, H, W) that a `factor` times smaller one tells most of."""
    size = [n // factor * factor for n in raw.shape[2:]]
    lost = []
    for part in raw.split(256):
        x = part[..., : size[0], : size[1]].float() / 127.5 - 1
        lost.append((x - enlarged(shrunk(x, factor), factor)).square().flatten(1).mean(1))
    order = torch.cat(lost).argsort(stable=True)
    return order[int(flat * len(raw)) :].sort().values
