"""Pairs of pictures and what a smaller one lacks of them, made of pictures alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..codecs.detail import Detail, enlarged
from ..core.noise import Noise
from ..data.degradations import compressed, levels, shrunk

KINDS = ("area", "area", "cubic", "blurred")
"""How pictures are made smaller, each as often: means of blocks, cubic with antialiasing, blurred first."""
NOISY, LOSSY = 0.5, 0.125
"""How often a smaller picture is noisy, and went through JPEG."""
QUALITY = (40, 95)


@dataclass(frozen=True)
class Pairs:
    """Pictures x (B, C, H, W) in [-1, 1] to what a model of detail learns from, each in a way of its own.

        y = levels(jpeg(shrink_f(x)) + noise n),    m = enlarge_f(y),    (z, seen_f(m), f, n)

    `shrink_f` is the mean of blocks, cubic, or either after a Gaussian blur; noise of up to `noise` of 255 levels is added
    to half of them, and told; some were JPEG files, which is not told. Mirrored and turned at random, and cut to squares of
    `size`, away from where borders were enlarged. All from each sample's own stream. Noise that is told: Ho et al. 2021,
    Cascaded diffusion models, https://arxiv.org/abs/2106.15282; several degradations: Wang et al. 2021,
    https://arxiv.org/abs/2107.10833
    """

    codec: Detail
    size: int
    noise: float = 12.0

    def __str__(self) -> str:
        factors = ", ".join(map(str, self.codec.factors))
        return f"pairs: {factors} times smaller, some blurred, compressed, or noisy by up to {self.noise:g} levels, which is told"

    def __call__(self, x: Tensor, noise: Noise) -> tuple[Tensor, dict[str, Tensor]]:
        """(z (B, C, size, size), {maps: what is seen of m, scalars: (B, 2) of f and n})."""
        uniform = noise.uniform(torch.empty(len(x), 10)).tolist()
        normal = noise.draw(torch.empty(len(x), *x.shape[1:]))
        made = [self.one(*each) for each in zip(x, uniform, normal, strict=True)]
        z, maps, said = zip(*made, strict=True)
        return torch.stack(z), {"maps": torch.stack(maps), "scalars": torch.tensor(said, dtype=torch.float32)}

    def one(self, x: Tensor, u: list[float], normal: Tensor) -> tuple[Tensor, Tensor, tuple[float, float]]:
        x = x.flip(-1) if u[0] < 0.5 else x
        x = x.rot90(int(4 * u[1]), (-2, -1)) if x.shape[-1] == x.shape[-2] else x
        factor = self.codec.factors[int(u[2] * len(self.codec.factors))]
        y = shrunk(x[None], factor, KINDS[int(u[3] * len(KINDS))], 0.2 + 0.5 * u[4])
        if u[5] < LOSSY:
            y = compressed(y, round(QUALITY[0] + (QUALITY[1] - QUALITY[0]) * u[6]))
        level = self.noise * u[7] if u[8] < NOISY else 0.0
        y = levels(y + level / 127.5 * normal[None, :, : y.shape[2], : y.shape[3]])
        m = enlarged(y, factor)
        z, seen = (one[0] for one in self.codec.pair(x[None], m, factor))
        down, right = (int(u[9] * 2**k % 1 * (n - self.size + 1)) for k, n in ((0, x.shape[1]), (12, x.shape[2])))
        z, seen = (a[:, down : down + self.size, right : right + self.size] for a in (z, seen))
        return z, seen, (float(factor), level)
