"""How well a model predicts real data: bits a dimension along the probability-flow ODE."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.divergences import Rademacher
from ..core.flow_likelihood import FlowLikelihood
from ..core.grids import LogSNR
from ..core.likelihood import bits_per_dimension, dequantised
from ..core.noise import Seeded
from ..core.solvers import Adaptive, RungeKutta4
from ..errors import ReverieError
from ..samplers.base import evaluating
from .base import Metric, Model, Population


@dataclass(frozen=True)
class NLL(Metric):
    """Negative log-likelihood of held-out data under their own conditions, in bits a dimension, by `FlowLikelihood`.

    Pictures of 256 levels are dequantised: an upper bound of the bits of each level, see `bits_per_dimension`. Floats
    are taken as they are: the bits of their density, in their own units. Probes and dequantisation are drawn once for
    each sample, so the standard error over samples holds what they add. Not guided: guidance has no likelihood.
    Song et al. 2020, https://arxiv.org/abs/2011.13456
    """

    steps: int = 24
    """Of Runge-Kutta 4, four evaluations each; unused where `tolerance` is given."""
    tolerance: float = 0.0
    """Of adaptive steps, a sample at a time; 0 for a fixed number."""
    probes: int = 1
    levels: int = 256
    """How many even levels pictures have: the built-in digits have 17 of the 256."""
    batch: int = 64

    better = "lower"
    unit = "bits a dimension"
    needs = ("model",)

    def measure(self, samples: Population, reference: Population, train: Population | None = None) -> dict[str, float]:
        model = samples.origin("NLL")
        solver = Adaptive(self.tolerance, self.tolerance) if self.tolerance else RungeKutta4()
        likelihood = FlowLikelihood(Rademacher(self.probes), LogSNR(self.steps, low=-10.0, high=12.0), solver)
        found = []
        for z, width, noise, denoiser in asked(model, reference, self.levels, self.batch, "nll"):
            x = dequantised(z, width, noise) if is_levels(reference.need("raw", "NLL")) else z
            log_p = likelihood(denoiser, x, noise)
            found.append(bits_per_dimension(log_p.nats, log_p.dim, width))
        return summary(torch.cat(found), "nll")

    def warnings(self, samples: Population, reference: Population) -> list[str]:
        return few(self, samples, reference)

    def assumptions(self, samples: Population, reference: Population) -> list[str]:
        steps = f"adaptive steps, tolerance {self.tolerance:g}" if self.tolerance else f"{self.steps} Runge-Kutta steps"
        model = samples.origin("NLL")
        n = min(model.count, len(reference))
        return [
            f"nll: bits a dimension of {n:,} held-out samples given their conditions, without guidance",
            f"nll: flow from log-SNR 12 to x_1 ~ N(0, sigma_1^2), {steps}, divergence by {self.probes} Rademacher probe(s)",
            "nll: " + measure_of(reference, self.levels),
        ]


def asked(
    model: Model, reference: Population, levels: int, batch: int, purpose: str
) -> Iterator[tuple[Tensor, float, Seeded, Denoiser]]:
    """For each batch: z in float64, what one level (or one raw unit) measures in it, its noise, and the denoiser given its
    conditions, in eval mode."""
    raw = reference.need("raw", purpose)
    if is_levels(raw) and not 2 <= levels <= 256:
        raise ReverieError(f"{purpose}: pictures have 2 to 256 levels, not {levels}")
    n = min(model.count, len(raw))
    for first in range(0, n, batch):
        rows = slice(first, min(first + batch, n))
        noise = Seeded.at(model.seed, range(rows.start, rows.stop), purpose)
        denoiser = model.given({key: value[rows] for key, value in reference.values.items()})
        with evaluating(denoiser):
            yield model.encode(raw[rows]).double(), unit_of(model, raw[rows], levels), noise, denoiser
        if model.progress:
            model.progress(rows.stop, n)


def unit_of(model: Model, raw: Tensor, levels: int) -> float:
    """How far apart in z two neighbouring levels are, or raw floats that differ by 1: the geometric mean over entries."""
    zero = torch.zeros_like(raw[:1], dtype=torch.float32)
    scale = (model.encode(zero + 1).double() - model.encode(zero).double()).abs()
    if not (scale > 0).all():
        raise ReverieError("a channel never varies: it has no density, and the data no likelihood")
    return scale.log().mean().exp().item() * (255 / (levels - 1) if is_levels(raw) else 1)


def is_levels(raw: Tensor) -> bool:
    return raw.dtype == torch.uint8


def measure_of(reference: Population, levels: int) -> str:
    raw = reference.need("raw", "likelihood")
    if not is_levels(raw):
        return "density in the units of the data, nothing added"
    return f"{levels} even levels, filled by uniform noise; even odds would take {log(levels) / log(2):.3f} bits"


def summary(bits: Tensor, name: str) -> dict[str, float]:
    """The mean of (N,), and its standard error."""
    figures = {name: bits.mean().item()}
    return figures | ({f"{name}_error": (bits.std() / len(bits) ** 0.5).item()} if len(bits) > 1 else {})


def few(metric: Metric, samples: Population, reference: Population) -> list[str]:
    n = min(samples.origin(type(metric).__name__).count, len(reference))
    return [] if n >= 30 else [f"{type(metric).__name__}: {n} samples are few: the standard error itself is unsure"]
