"""The twisted diffusion sampler."""

from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..core.denoisers import Denoiser, Estimate, Given
from ..core.noise import Noise
from ..errors import ReverieError
from ..guidance.base import moved
from ..samplers.base import Sampler, State
from ..samplers.ddpm import DDPM
from ..samplers.renewal import share
from .base import PosteriorSampler, differentiated, each, measurement, steps_once
from .lanczos import log_determinant
from .mmps import matched, spoiled


@dataclass(frozen=True, eq=False)
class TDS(PosteriorSampler):
    """K particles a sample, led by a guess at p(y | x_t) and weighed so that what it gets wrong cancels.

        twist_t = exp(-e^T S^-1 e / 2) / sqrt(det S),   e = y - A x_hat,   S = std_y^2 I + A V A^T,    twist_0 = p(y | x)
        x_s ~ N(mean of the step from x_hat + V A^T S^-1 e, std^2)
        w <- w p(x_s | x_t) twist_s / (p(x_s | x_t, y) twist_t)

    The guess is that of `MMPS`, V = Cov[x | x_t] by `iterations` of conjugate residuals; det S is by as many of Lanczos from
    each of `probes` vectors. Samples are (B, K, *), a row of particles for a row of y, each a network call a step. The
    particles of a row are drawn anew by their weights (systematically, by one uniform number of that row's own stream) where
    their effective number falls below `least` K, and a last time at the first log-SNR of `until` or more: all then weigh alike.
    From there p(x | x_t) is nearly the Gaussian that the guess takes it for, and weights would tell of little but the steps,
    the more so the more entries y has: there the grid may go up again, as `Restart` does. With `until` infinite they go on to
    s = 0, which is exact as K and the steps grow. Particles of a row share ancestors, and so are fewer independent samples than
    K. Wu et al. 2023, https://arxiv.org/abs/2306.17775
    """

    needs = frozenset()
    least: float = 0.5
    iterations: int = 10
    probes: int = 2
    until: float = 1.0
    sampler: Sampler = field(default_factory=DDPM)
    wraps = True
    particles = True

    def __post_init__(self):
        super().__post_init__()
        steps_once(type(self), self.sampler)
        share("least", self.least, 1)
        if self.std_y == 0:
            raise ReverieError("TDS weighs particles by the noise of the measurement: give std_y above 0")
        if min(self.iterations, self.probes) < 1:
            raise ReverieError(f"iterations and probes are 1 or more, not {self.iterations} and {self.probes}")

    @property
    def evaluations(self):
        return self.sampler.evaluations

    def step(self, denoiser, x_t, t, s, memory, noise):
        schedule, weighs = denoiser.schedule, bool(denoiser.schedule.log_snr(t) < self.until)
        estimate, gap, log_twist = self.twisted(denoiser, x_t, t, weighs or memory is not None)
        log_w, x = log_twist if memory is None else memory + log_twist, x_t
        if weighs or memory is not None:
            keep, drawn = self.ancestors(log_w, noise, always=not weighs)
            log_w, x, gap, log_twist = (_chosen(part, keep) for part in (log_w, x_t, gap, log_twist))
            estimate = each(estimate, lambda part: _chosen(part, keep))
            log_w = torch.where(drawn, 0, log_w) - log_twist
        mean, std = self.sampler.transition(schedule, estimate, x, t, s)  # type: ignore[attr-defined]
        if weighs and s == 0:
            keep, _ = self.ancestors(log_w + self.log_likelihood(mean), noise, always=True)
            return _chosen(mean, keep), None
        guided = moved(estimate, estimate.x_hat + gap, x, t, schedule)
        led, _ = self.sampler.transition(schedule, guided, x, t, s)  # type: ignore[attr-defined]
        x_s = led if s == 0 else led + std * noise.draw(x, t, s)
        return x_s, log_w + _log_normal(x_s, mean, std) - _log_normal(x_s, led, std) if weighs else None

    def twisted(self, denoiser: Denoiser, x_t: Tensor, t: Tensor, weighed: bool) -> tuple[Estimate, Tensor, Tensor]:
        """The guesses (B, K, *), what is to be added to them, and the logarithms of the twists, (B, K) in float64.

        Those are zero where they are not `weighed`.
        """
        B, K = x_t.shape[:2]
        estimate, _, covariance = differentiated(denoiser, x_t.flatten(0, 1), t)
        e = self.residual(estimate.x_hat, K)
        gap, v = matched(self.operator, self.std_y, e, covariance, self.iterations)
        log_twist = torch.zeros(B * K, dtype=torch.float64, device=x_t.device)
        if weighed:
            S = spoiled(self.operator, self.std_y, covariance)
            log_det = log_determinant(S, e, self.iterations, self.probes, self.std_y**2)
            log_twist = -((e * v).double().flatten(1).sum(1) + log_det) / 2
        estimate = each(estimate, lambda part: part.unflatten(0, (B, K)))
        return estimate, gap.unflatten(0, (B, K)), log_twist.reshape(B, K)

    def residual(self, x: Tensor, K: int) -> Tensor:
        """y - A(x) of B K samples."""
        y = measurement(self.y, self.operator, x[::K])
        return (y if len(y) == 1 else y.repeat_interleave(K, 0)) - self.operator.forward(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log p(y | x), (B, K) in float64, with the constant of `twisted`."""
        e = self.residual(x.flatten(0, 1), x.shape[1]).double()
        constant = torch.tensor(self.std_y**2, dtype=torch.float64).log()
        return -(e.square() / self.std_y**2 + constant).flatten(1).sum(1).reshape(x.shape[:2]) / 2

    def ancestors(self, log_w: Tensor, noise: Noise, always: bool = False) -> tuple[Tensor, Tensor]:
        """Which particle each one goes on from, (B, K), and of which rows, (B, 1), they were drawn by weight."""
        w = log_w.softmax(1)
        K = w.shape[1]
        few = (1 / w.square().sum(1, keepdim=True) < self.least * K) | torch.tensor(always, device=w.device)
        u = (noise.uniform(w[:, :1]) + torch.arange(K, device=w.device)) / K
        drawn = torch.searchsorted(w.cumsum(1), u).clamp(max=K - 1)
        return torch.where(few, drawn, torch.arange(K, device=w.device)), few

    def trajectory(self, denoiser, x_t, grid, noise) -> Generator[State, Tensor | None, None]:
        """From x_t (B, K, *). Raises ReverieError where the grid goes up to where particles are weighed, or ends above 0."""
        rises = grid[1:][grid.diff() > 0]
        if (denoiser.schedule.log_snr(rises) < self.until).any() or grid[-1] != 0:
            raise ReverieError(f"TDS weighs particles up to a log-SNR of {self.until:g}, on a grid that falls, and to 0 in the "
                               "end: take another grid")  # fmt: skip
        return super().trajectory(_told_each(denoiser, *x_t.shape[:2]), x_t, grid, noise)


def _chosen(x: Tensor, keep: Tensor) -> Tensor:
    """x (B, K, *) of the particles `keep` (B, K)."""
    return x[torch.arange(len(x), device=x.device)[:, None], keep]


def _log_normal(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(B, K), float64, up to a constant; std > 0."""
    return -((x.double() - mean.double()) / std.double()).square().flatten(2).sum(2) / 2


def _told_each(denoiser: Denoiser, B: int, K: int) -> Denoiser:
    """The denoiser for B rows of K particles: a condition of each row is said of each of its particles."""
    fresh = denoiser.begin()
    for part in fresh.modules():
        if isinstance(part, Given):
            part.cond = {
                name: value.repeat_interleave(K, 0) if B > 1 and value.ndim and len(value) == B else value
                for name, value in part.cond.items()
            }
    return fresh
