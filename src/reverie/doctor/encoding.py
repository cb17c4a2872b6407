"""The data as the codec hands them to the model."""

from torch import Tensor

from ..codecs.latent import Latent
from ..metrics.pairs import psnr
from .base import Examination, Finding, passed

SPREAD_BOUND = 0.1
"""Relative; the sampled spread of healthy runs lay within 0.002 of what the codec declares."""


FAITHFUL = 20.0
"""dB, from where on pictures that went through an autoencoder are taken for what they were."""


class Encoding(Examination):
    """z lies inside codec.range, its spread is what the codec declares, and decoding gives the data back."""

    order = 10

    def examine(self, patient):
        z, codec = patient.z, patient.codec
        low, high = z.min().item(), z.max().item()
        mend = "the data or the codec changed: put back the codec of model.json and the data it was fitted to"
        if not z.isfinite().all():
            yield Finding(
                "fault", "the encoded data hold numbers that are not finite", "`reverie data check` names them"
            )
            return
        if codec.range is not None and not codec.range[0] <= low <= high <= codec.range[1]:
            yield Finding("fault", f"z spans {low:.3g} to {high:.3g}, outside the {codec.range[0]:g} to {codec.range[1]:g} "
                          f"of {type(codec).__name__}: the data are not normalised", mend, max(-low, high),
                          codec.range[1])  # fmt: skip
        else:
            yield passed(f"z spans {low:.3g} to {high:.3g}")
        off = patient.spread / codec.std
        said = f"the spread of z is {patient.spread:.4g}, the codec declares {codec.std:.4g}"
        if not 1 - SPREAD_BOUND <= off <= 1 + SPREAD_BOUND:
            yield Finding("fault", f"{said}: the data are not normalised as they were in training", mend, off,
                          1 + SPREAD_BOUND)  # fmt: skip
        else:
            yield passed(said, off, 1 + SPREAD_BOUND)
        raw = patient.data.raw[patient.rows(256, "z")]
        back = codec.decode(codec.encode(raw))
        if isinstance(codec, Latent):
            yield lossy(psnr(back, raw).mean().item(), raw)
            return
        gap = (back.double() - raw.double()).abs().max().item()
        scale = max(raw.double().abs().max().item(), 1e-30)
        bound = 0.0 if not raw.is_floating_point() else 1e-5 * scale
        if back.dtype == raw.dtype and gap <= bound:
            yield passed("decode(encode(raw)) gives raw back", gap, bound)
        else:
            yield Finding("fault", f"decode(encode(raw)) is off by up to {gap:.3g} ({back.dtype}, from {raw.dtype})",
                          mend, gap, bound)  # fmt: skip


def lossy(found: float, raw: Tensor) -> Finding:
    """What an autoencoder makes of the data, in dB: the most that any model in its latents can reach."""
    said = f"pictures come back from the latents at {found:.3g} dB (mean of {len(raw)})"
    if found >= FAITHFUL:
        return passed(said, found, FAITHFUL)
    return Finding("warning", f"{said}: samples cannot be better", "train the autoencoder longer, or with more channels in "
                   "the latent (`reverie evaluate` of its run says how good it is)", found, FAITHFUL)  # fmt: skip
