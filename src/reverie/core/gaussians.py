"""Data as a Gaussian of each class: where sampling begins when its first part is left to arithmetic."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

MOST_AXES = 64
"""Along which a Gaussian has a variance of its own; of a class of Fashion-MNIST, of 784, they hold 84 to 95 %."""
SAMPLES_AN_AXIS = 4
"""At least: an axis of fewer would be a sample."""
MOST_SIDE, MOST_ENTRIES = 1024, 2**21
"""Of the matrix whose eigenvectors are wanted, and of all axes together."""
NAMES = ("means", "axes", "variances", "rest", "shares")


@dataclass(frozen=True)
class Gaussians:
    """x ~ N(m, U diag(l) U^T + r (1 - U U^T)) of each of N classes, or of all as one: K axes U, and r along any other.

    The probability-flow ODE of this Gaussian takes noise eps at t = 1, where alpha = 0, to

        x_t = alpha_t m + b eps + U diag(a - b) U^T eps,    a^2 = alpha_t^2 l + sigma_t^2,    b^2 = alpha_t^2 r + sigma_t^2

    and where noise still hides what is not Gaussian in the data, a trained network takes it to nearly the same place by
    evaluations that can be saved. Wang & Vastola 2024, https://arxiv.org/abs/2412.09726

    `means` (N, D), `axes` (N, D, K), `variances` (N, K), `rest` (N,) and `shares` (N,), how much of the data each class is.
    """

    means: Tensor
    axes: Tensor
    variances: Tensor
    rest: Tensor
    shares: Tensor

    def __post_init__(self) -> None:
        n, d, k = self.axes.shape
        found = [tuple(one.shape) for one in (self.means, self.variances, self.rest, self.shares)]
        if found != [(n, d), (n, k), (n,), (n,)]:
            raise ValueError(f"{n} Gaussians of {k} axes in {d} dimensions have other parts than of {found}")
        if not all((one >= 0).all() for one in (self.variances, self.rest, self.shares)) or not self.shares.sum() > 0:
            raise ValueError("variances and shares are 0 or more, and one share is more")

    def __len__(self) -> int:
        return len(self.means)

    @staticmethod
    def rows(classes: Sequence[Tensor], entries: int) -> list[Tensor]:
        """Of the indices (n,) of each class, those to fit to: evenly spaced, as many as make the figures good and not slow."""
        most = min(8 * MOST_SIDE // len(classes), MOST_SIDE if entries > MOST_SIDE else 8 * MOST_SIDE, 2**25 // entries)
        most = max(most, SAMPLES_AN_AXIS)
        return [
            one[torch.linspace(0, len(one) - 1, min(len(one), most), dtype=torch.float64).long()] for one in classes
        ]

    @staticmethod
    def axes_of(counts: Sequence[int], entries: int) -> int:
        """How many axes Gaussians of so many samples each may have, 0 where there can be none."""
        return min(MOST_AXES, entries, MOST_ENTRIES // (entries * len(counts)), min(counts) // SAMPLES_AN_AXIS)

    @classmethod
    def fit(cls, samples: Sequence[Tensor], shares: Sequence[float]) -> Self:
        """Of samples (n, *shape) of each class. Raises ValueError where they are too few for an axis, or too many."""
        count = cls.axes_of([len(one) for one in samples], math.prod(samples[0].shape[1:]))
        if count < 1:
            raise ValueError(
                "Gaussians need four samples of each class or more, and two million entries in all or fewer"
            )
        parts = [principal(one.flatten(1).double(), count) for one in samples]
        means, axes, variances, rest = (torch.stack(list(one)) for one in zip(*parts, strict=True))
        return cls(
            means.float(), axes.half(), variances.float(), rest.float(), torch.tensor(shares, dtype=torch.float32)
        )

    def begin(self, unit: Tensor, which: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """x_t (B, *shape) of unit noise (B, *shape) and the class (B,) of each row, at scalars alpha_t and sigma_t."""
        x = torch.empty_like(unit, dtype=torch.float32).flatten(1)
        alpha, sigma, eps = alpha.to(x), sigma.to(x), unit.to(x).flatten(1)
        for one in which.unique().tolist():
            here = which == one
            U, l, r = (part[one].to(x) for part in (self.axes, self.variances, self.rest))
            a, b = (alpha**2 * l + sigma**2).sqrt(), (alpha**2 * r + sigma**2).sqrt()
            x[here] = alpha * self.means[one].to(x) + b * eps[here] + ((eps[here] @ U) * (a - b)) @ U.mT
        return x.view_as(unit).to(unit)

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in NAMES}

    @property
    def sha256(self) -> str:
        """Of all their numbers."""
        found = hashlib.sha256()
        for one in self.tensors().values():
            found.update(one.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], entries: int, classes: int) -> Self:
        """What `tensors` gave, for samples of so many entries and a model of so many classes. Raises ValueError."""
        if tensors.keys() != set(NAMES) or tensors["axes"].ndim != 3:
            raise ValueError(f"Gaussians are the tensors {', '.join(NAMES)}")
        if not all(one.is_floating_point() and one.isfinite().all() for one in tensors.values()):
            raise ValueError("Gaussians are finite numbers")
        if tensors["axes"].shape[1] != entries or len(tensors["axes"]) not in (1, classes):
            raise ValueError(f"Gaussians of {len(tensors['axes'])} classes in {tensors['axes'].shape[1]} entries do not fit "
                             f"a model of {classes} classes and samples of {entries}")  # fmt: skip
        return cls(**tensors)


def principal(x: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of x (n, D): the mean (D,), the axes (D, count) of largest variance, those variances, and the mean of all others."""
    mean = x.mean(0)
    x = x - mean
    n, d = x.shape
    if d <= n:
        variances, axes = torch.linalg.eigh(x.mT @ x / n)
    else:
        variances, axes = torch.linalg.eigh(x @ x.mT / n)
        axes = x.mT @ (axes / (n * variances.clamp(min=torch.finfo(x.dtype).tiny)).sqrt())
    variances, axes = variances.clamp(min=0).flip(0)[:count], axes.flip(1)[:, :count]
    known = variances > 1e-12 * variances[0]  # an axis of no variance is none, and what is computed for it noise
    rest = (x.square().sum() / n - variances.sum()).clamp(min=0) / max(d - count, 1)
    return mean, axes * known, torch.where(known, variances, rest), rest
