"""Measurements of mixtures, whose posteriors are mixtures again: what is left of a method's distance is its own."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from reverie.core.denoisers import Denoiser, Estimate
from reverie.core.noise import Seeded
from reverie.core.oracles import Mixture, fit
from reverie.core.schedules import Cosine
from reverie.data import builtin
from reverie.posterior.operators.base import Operator
from reverie.posterior.operators.blur import GaussianBlur
from reverie.posterior.operators.downsampling import Area
from reverie.posterior.operators.mask import Mask

SCHEDULE = Cosine()
REFERENCE = 2048
"""Exact draws that samples are compared with."""
SEED = 11
"""Of the reference, the floor and the directions."""


class Shaped(Denoiser):
    """A denoiser of vectors, for samples of another shape."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.schedule = denoiser, denoiser.schedule

    def forward(self, x_t, t):
        return Estimate(self.denoiser(x_t.flatten(1), t).x_hat.reshape(x_t.shape))


@dataclass(frozen=True, eq=False)
class Problem:
    name: str
    mixture: Mixture
    operator: Operator
    std_y: float
    shape: tuple[int, ...]
    truth: Tensor
    """(Y, *shape): what was measured."""
    samples: int
    """For each measurement."""
    steps: int
    """Calls of the denoiser a returned sample."""

    @property
    def denoiser(self) -> Denoiser:
        return Shaped(self.mixture)

    @cached_property
    def y(self) -> Tensor:
        """(Y, *)"""
        clean = self.operator(self.truth)
        return (clean + self.std_y * Seeded.at(SEED, range(len(clean)), "measurement").draw(clean)).float()

    @cached_property
    def exact(self) -> list[Mixture]:
        """The posterior of each measurement."""
        A = self.operator(torch.eye(self.truth[0].numel(), dtype=torch.float64).reshape(-1, *self.shape)).flatten(1).mT
        rows = A.abs().sum(1) > 0
        return [self.mixture.posterior(y.double().flatten()[rows], A[rows], self.std_y) for y in self.y]

    def drawn(self, n: int, purpose: str) -> Tensor:
        """(Y, n, D), exact."""
        return torch.stack([p.sample(Seeded.at(SEED + i, range(n), purpose)) for i, p in enumerate(self.exact)])

    @cached_property
    def reference(self) -> Tensor:
        return self.drawn(REFERENCE, "reference")

    @cached_property
    def directions(self) -> Tensor:
        """(D, 64)"""
        D = self.truth[0].numel()
        v = torch.randn(D, 64, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
        return v / v.norm(dim=0)

    def distance(self, x: Tensor) -> float:
        """Sliced Wasserstein-1 of samples (Y, n, D) to the reference, n a divisor of its count; the mean over Y."""
        a, b = ((part.double() @ self.directions).sort(1).values for part in (x, self.reference))
        return (a.repeat_interleave(b.shape[1] // a.shape[1], 1) - b).abs().mean().item()

    def figures(self, x: Tensor) -> dict[str, float]:
        """Of samples (Y, n, D): distance; bias of the mean, in exact deviations; share that 90 % intervals cover."""
        x, exact = x.double(), self.reference
        bias = ((x.mean(1) - exact.mean(1)) / exact.std(1)).square().mean().sqrt().item()
        low, high = x.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64), 1)[:, :, None]
        covered = ((low <= exact) & (exact <= high)).double().mean().item()
        return {"distance": self.distance(x), "bias": bias, "covered": covered}

    @cached_property
    def floor(self) -> float:
        """The distance of as many exact draws, the mean of four."""
        return sum(self.distance(self.drawn(self.samples, f"floor {i}")) for i in range(4)) / 4


def plane(samples: int = 1024, steps: int = 128) -> Problem:
    """Three Gaussians in the plane of which y = x_1 + N(0, 0.2^2) leaves two likely."""
    means = torch.tensor([[-1.0, 0.5], [0.3, -0.7], [1.2, 1.0]])
    covariances = torch.tensor([[[0.2, 0.1], [0.1, 0.3]], [[0.3, -0.2], [-0.2, 0.2]], [[0.1, 0.0], [0.0, 0.1]]])
    d = Mixture.of(SCHEDULE, torch.tensor([0.2, 0.5, 0.3]), means, covariances)
    truth = torch.tensor([[0.8, 0.9], [-0.3, 0.2]], dtype=torch.float64)
    return Problem("plane", d, Mask(torch.tensor([True, False])), 0.2, (2,), truth, samples, steps)


OPERATORS = {"mask": Mask.random((8, 8), 0.5, seed=1), "downsample": Area(2), "blur": GaussianBlur(1.0)}
LEVELS = (0.05, 0.2, 0.5)


def digits(samples: int = 64, steps: int = 64) -> list[Problem]:
    """Ten Gaussians of full covariance fitted to the digits of 8 x 8 pixels in [-1, 1]; two held out are measured."""
    data = builtin.load("digits")
    x, held = (part.raw.flatten(1).double() / 127.5 - 1 for part in (data, data.test))
    d = fit(SCHEDULE, x, count=10, steps=12, floor=0.01)
    truth = held[[3, 40]].reshape(-1, 1, 8, 8)
    return [
        Problem(f"{name} {std_y:g}", d, operator, std_y, (1, 8, 8), truth, samples, steps)
        for name, operator in OPERATORS.items()
        for std_y in LEVELS
    ]
