"""The noise that a picture comes from."""

import io
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..errors import ReverieError
from .base import Edit, Edited, option, share
from .inverting import inverted, two_way
from .pictures import told
from .working import Work


@dataclass(frozen=True)
class Invert(Edit):
    """Find the noise that a picture comes from, by the probability flow walked up, and make the picture again from it.

        dx = x_hat dalpha + eps_hat dsigma,    t from 0 to the level of --strength, and back

    What is made is the picture as it comes back; its error is printed, and falls with the steps, the faster the higher the
    order of the sampler: ddim (1), heun (2), rk4 (4). noise.npy is the noise. Song et al. 2020,
    https://arxiv.org/abs/2010.02502
    """

    takes = (1, 4096)
    versions = False
    strength: float = option(1.0, "how far up: 1 to pure noise, 0.5 to as much noise as picture")

    def do(self, system, given, how):
        share("strength", self.strength)
        sampler = two_way(how.sampler)
        same_size(given)
        work = Work(system, replace(how, sampler=sampler, count=len(given)), given[0].shape)
        level = work.level(self.strength)
        said = [f"noise level: {level}"]
        info = work.info(self, [told(one) for one in given], level=level.t)
        if level.t == 0:
            return Edited(torch.stack(list(given)), info, said)
        grid, parts = work.times(level.t), work.batches()
        noises, backs = [], []
        for k, rows in enumerate(parts):
            denoiser = work.denoiser(rows)
            z = torch.cat([work.encode(given[i]) for i in rows])
            x_t = inverted(sampler, denoiser, z, grid)
            source, _ = work.noise(rows)
            backs.append(
                work.crop(work.walk(denoiser, x_t, grid, source, sampler, k / len(parts), 1 / len(parts))).cpu()
            )
            noises.append(x_t.cpu())
        raw, noise = work.decode(torch.cat(backs)), torch.cat(noises)
        gaps = (raw.double() - torch.stack(list(given)).double()).square().flatten(1).mean(1).sqrt()
        said.append(f"{len(grid) - 1} steps up and {len(grid) - 1} down by {type(sampler).__name__.lower()}")
        said += [f"reconstruction error of picture {i}: {gap:.3g} levels of 255 (root mean square)"
                 for i, gap in enumerate(gaps.tolist())]  # fmt: skip
        info["error"] = [round(gap, 4) for gap in gaps.tolist()]
        if work.factor > 1:
            alone = work.decode(torch.cat([work.crop(work.encode(one)) for one in given])).double()
            lost = (alone - torch.stack(list(given)).double()).square().mean().sqrt().item()
            said.append(f"of which the autoencoder alone: {lost:.3g} levels")
        return Edited(raw, info, said, {"noise.npy": npy(noise.numpy())})


def same_size(given) -> None:
    """Raises ReverieError where pictures differ in size."""
    sizes = {tuple(one.shape[-2:]) for one in given}
    if len(sizes) > 1:
        said = " and ".join(f"{w} x {h}" for h, w in sorted(sizes))
        raise ReverieError(f"the pictures must have one size, and are {said}")


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()
