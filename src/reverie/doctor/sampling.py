"""The way from noise to samples, and its ends."""

import math

import torch

from ..core.noise import Seeded
from .base import Examination, Finding, passed

COUNT = 32
SPREAD = (0.75, 1.3)
"""Of samples over that of data; healthy runs lay between 0.93 and 1.05."""
CLIPPED = 0.05
"""Share of entries that decoding moves by more than a twentieth of the range, over that of data."""
TERMINAL = 1e-3
"""Signal-to-noise ratio of the data left at t = 1."""


class Sampling(Examination):
    """The default sampler begins at t = 1 with noise of sigma_1, in which no data should be left, and ends at t = 0 with
    finite samples as spread as the data, of which decoding clips little.
    """

    order = 45

    def examine(self, patient):
        schedule = patient.schedule
        alpha, sigma = (c.item() for c in schedule(1.0))
        mean_square = patient.z.double().square().mean().item()
        snr = alpha**2 * mean_square / sigma**2
        if snr > TERMINAL:
            yield Finding("warning", f"at t = 1 data are left in x_1 (signal-to-noise ratio {snr:.2g}), but samples start "
                          "from noise without any: their mean brightness will be off",
                          "train with --schedule cosine or rectified, or the same table as zeroterminalsnr(...)", snr,
                          TERMINAL)  # fmt: skip
        else:
            yield passed(f"x_1 is noise: its signal-to-noise ratio is {snr:.2g}", snr, TERMINAL)
        system = patient.system
        times = system.defaults.grid(system.denoiser.schedule)
        first, last = times[0].item(), times[-1].item()
        if first != 1 or last != 0:
            yield Finding("warning", f"the default grid goes from t = {first:.4g} to {last:.4g}, not from 1 to 0",
                          "take a grid that does: --grid karras", first)  # fmt: skip
        else:
            yield passed(f"{len(times) - 1} steps from t = 1 to t = 0")
        yield from self.samples(patient, system, times)

    def samples(self, patient, system, times):
        like = torch.empty(COUNT, *system.shape)
        noise = Seeded.at(0, range(COUNT))
        x = system.denoiser.schedule.start(noise.draw(like))
        sigma = system.denoiser.schedule(1.0)[1].item()
        off = x.double().std(correction=0).item() / sigma
        bound = 5 / math.sqrt(2 * x.numel())
        if abs(off - 1) > bound:
            yield Finding("fault", f"the starting noise has {off:.3g} of the spread sigma_1 = {sigma:.3g}",
                          "the schedule's start is not sigma_1 noise", off, 1 + bound)  # fmt: skip
        else:
            yield passed(f"the starting noise has {off:.3f} of the spread sigma_1 = {sigma:.3g}", off, 1 + bound)
        values = system.values(list(range(COUNT)), ...)
        scale = system.defaults.scale
        denoiser = system.guided(values, COUNT, scale, system.dtype, weak=system.early((), scale))
        for state in system.defaults.sampler.trajectory(denoiser, x, times, noise):
            if not state.x_t.isfinite().all():
                yield Finding("fault", f"samples stop being finite at t = {state.t.item():.4g}",
                              "try float32, another sampler, more steps, or no guidance", state.t.item())  # fmt: skip
                return
            x = state.x_t
        share = x.double().std(correction=0).item() / patient.spread
        said = f"{COUNT} samples have {share:.3f} of the spread of the data"
        if not SPREAD[0] <= share <= SPREAD[1]:
            yield Finding("fault", said, "see `denoising` and `prediction`; with guidance, a smaller --scale", share,
                          SPREAD[share > 1])  # fmt: skip
        else:
            yield passed(said, share, SPREAD[share > 1])
        if patient.codec.range is not None:
            clipped, real = (beyond(z, patient.codec.range) for z in (x, patient.z))
            said = f"decoding clips {clipped:.1%} of the entries of samples, by more than a twentieth of the range"
            if clipped > real + CLIPPED:
                yield Finding("warning", said, "samples overshoot: more steps, a smaller --scale, or longer training",
                              clipped, real + CLIPPED)  # fmt: skip
            else:
                yield passed(said, clipped, real + CLIPPED)


def beyond(z, span) -> float:
    """The share of entries outside the range by more than a twentieth of its width."""
    slack = 0.05 * (span[1] - span[0])
    return ((z < span[0] - slack) | (z > span[1] + slack)).double().mean().item()
