"""Noise schedules: the scales of x_t = alpha_t x + sigma_t eps, from t = 0 (data) to t = 1 (noise)."""

import abc
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


class Schedule(abc.ABC):
    """Two functions of time, in float64 on the CPU; everything else is derived from them. Frozen and hashable."""

    @abc.abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The scale of the data; 1 at t = 0."""

    @abc.abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """The scale of the noise; 0 at t = 0."""

    def __call__(self, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """(alpha_t, sigma_t), float64 and shaped like `t`; `onto` brings them to the data."""
        t = torch.as_tensor(t, dtype=torch.float64, device="cpu")
        return self.alpha(t), self.sigma(t)

    def log_snr(self, t: Tensor | float) -> Tensor:
        """log(alpha_t^2 / sigma_t^2), falling from +inf at t = 0; -inf where alpha_t = 0."""
        alpha_t, sigma_t = self(t)
        return 2 * (alpha_t.log() - sigma_t.log())

    def time(self, log_snr: Tensor | float) -> Tensor:
        """The inverse of `log_snr`, by bisection; the nearest end where no time has that much noise or that little."""
        log_snr = torch.as_tensor(log_snr, dtype=torch.float64, device="cpu")
        low, high = torch.zeros_like(log_snr), torch.ones_like(log_snr)
        for _ in range(64):
            t = (low + high) / 2
            later = self.log_snr(t) > log_snr
            low, high = torch.where(later, t, low), torch.where(later, high, t)
        return _Inverse.apply(log_snr, high, self) if log_snr.requires_grad else high

    def start(self, noise: Tensor) -> Tensor:
        """x_1 = sigma_1 noise, where a trajectory begins."""
        return self(1.0)[1].item() * noise


class _Inverse(torch.autograd.Function):
    """Bisection has no derivative of its own: that of the inverse is one over that of log-SNR."""

    @staticmethod
    def forward(ctx, log_snr, t, schedule):
        ctx.t, ctx.schedule = t, schedule
        return t.clone()

    @staticmethod
    def backward(ctx, grad):
        with torch.enable_grad():
            t = ctx.t.detach().requires_grad_()
            (slope,) = torch.autograd.grad(ctx.schedule.log_snr(t).sum(), t)
        return grad / slope, None, None


@dataclass(frozen=True)
class Rectified(Schedule):
    """A straight line from data to noise. Liu et al. 2022, https://arxiv.org/abs/2209.03003"""

    def alpha(self, t):
        return 1 - t

    def sigma(self, t):
        return t

    def time(self, log_snr):
        return (torch.as_tensor(log_snr, dtype=torch.float64) / -2).sigmoid()


@dataclass(frozen=True)
class Cosine(Schedule):
    """A quarter circle, alpha^2 + sigma^2 = 1. Nichol & Dhariwal 2021, https://arxiv.org/abs/2102.09672"""

    def alpha(self, t):
        return torch.sin((1 - t) * torch.pi / 2)  # cos(t pi / 2) is 6e-17 at t = 1, this is 0

    def sigma(self, t):
        return torch.sin(t * torch.pi / 2)

    def time(self, log_snr):
        return (torch.as_tensor(log_snr, dtype=torch.float64) / -2).exp().atan() * 2 / torch.pi


@dataclass(frozen=True)
class LinearVP(Schedule):
    """Variance preserving, with a rate of noising beta that grows linearly in time:

        log alpha_t = -t^2 (beta_max - beta_min) / 4 - t beta_min / 2,    sigma_t^2 = 1 - alpha_t^2

    Song et al. 2020, https://arxiv.org/abs/2011.13456
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def alpha(self, t):
        return self._log_alpha(t).exp()

    def sigma(self, t):
        return (-(2 * self._log_alpha(t)).expm1()).sqrt()

    def time(self, log_snr):
        rate = torch.nn.functional.softplus(-torch.as_tensor(log_snr, dtype=torch.float64)).clamp(
            max=1e9
        )  # -2 log alpha
        root = (self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * rate).sqrt()
        return (2 * rate / (self.beta_min + root)).clamp(max=1)

    def _log_alpha(self, t):
        return -(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2


@dataclass(frozen=True)
class VE(Schedule):
    """Noise added to data that keep their scale, sigma_t = sigma_max t^7: even steps in t are Karras's grid.

    Song et al. 2020, https://arxiv.org/abs/2011.13456; Karras et al. 2022, https://arxiv.org/abs/2206.00364
    """

    sigma_max: float = 80.0

    def alpha(self, t):
        return torch.ones_like(t)

    def sigma(self, t):
        return self.sigma_max * t**7

    def time(self, log_snr):
        ratio = (torch.as_tensor(log_snr, dtype=torch.float64) / -2).exp()
        return (ratio / self.sigma_max).pow(1 / 7).clamp(max=1)


@dataclass(frozen=True)
class Sigmoid(Schedule):
    """alpha_t^2 falls from 1 to 0 along a piece of the logistic curve S:

        alpha_t^2 = (S(b) - S(u)) / (S(b) - S(a)),    u = (a + (b - a) t) / tau,    a = start / tau, b = end / tau

    Jabri et al. 2022, https://arxiv.org/abs/2212.11972; Chen 2023, https://arxiv.org/abs/2301.10972
    """

    start_at: float = -3.0
    end_at: float = 3.0
    tau: float = 1.0

    def alpha(self, t):
        return (self._rise(t, torch.ones_like(t)) / self._rise(torch.zeros_like(t), torch.ones_like(t))).sqrt()

    def sigma(self, t):
        return (self._rise(torch.zeros_like(t), t) / self._rise(torch.zeros_like(t), torch.ones_like(t))).sqrt()

    def _rise(self, s, t):
        """S at time t less S at time s: sinh((v - u) / 2) / (2 cosh(u / 2) cosh(v / 2)), which does not cancel."""
        u, v = ((self.start_at + (self.end_at - self.start_at) * time) / self.tau for time in (s, t))
        return ((t - s) * (self.end_at - self.start_at) / (2 * self.tau)).sinh() / ((u / 2).cosh() * (v / 2).cosh() * 2)


@dataclass(frozen=True)
class Laplace(Schedule):
    """Log-SNR follows a Laplace distribution, so most times fall near its mean; variance preserving.

        log_snr(t) = mean - scale sign(1/2 - t) log(1 - 2 |t - 1/2|)

    Hang et al. 2024, https://arxiv.org/abs/2407.03297
    """

    mean: float = 0.0
    scale: float = 0.5

    def alpha(self, t):
        return self._log_snr(t).sigmoid().sqrt()

    def sigma(self, t):
        return self._log_snr(t).neg().sigmoid().sqrt()

    def _log_snr(self, t):
        tail = 2 * torch.minimum(t, 1 - t)
        return self.mean - self.scale * (0.5 - t).sign() * tail.log()


@dataclass(frozen=True)
class Shifted(Schedule):
    """Another schedule with its noise-to-signal ratio multiplied by `factor`, for larger pictures: the same curve at
    other times.

        log_snr(t) = schedule.log_snr(t) - 2 log factor;    rectified: t becomes factor t / (1 + (factor - 1) t)

    Hoogeboom et al. 2023, https://arxiv.org/abs/2301.11093; Esser et al. 2024, https://arxiv.org/abs/2403.03206
    Raises ValueError where the curve ends before it is pure noise, for then it cannot be shifted.
    """

    schedule: Schedule = Rectified()
    factor: float = 3.0

    def __post_init__(self):
        if self.schedule(1.0)[0] != 0:
            raise ValueError(
                f"{self.schedule} ends with signal left and cannot be shifted: wrap it in ZeroTerminalSNR, or take "
                "Cosine, Rectified, Sigmoid or Laplace"
            )

    @classmethod
    def variants(cls):
        return cls(), cls(Cosine(), 0.5)

    def alpha(self, t):
        return self.schedule.alpha(self._elsewhere(t))

    def sigma(self, t):
        return self.schedule.sigma(self._elsewhere(t))

    def log_snr(self, t):
        return self.schedule.log_snr(t) - 2 * math.log(self.factor)

    def time(self, log_snr):
        return self.schedule.time(torch.as_tensor(log_snr, dtype=torch.float64) + 2 * math.log(self.factor))

    def _elsewhere(self, t):
        """The time at which the schedule itself has that noise."""
        if isinstance(self.schedule, Rectified):
            return self.factor * t / (1 + (self.factor - 1) * t)
        return torch.where(t > 0, self.schedule.time(self.log_snr(t)), 0)


class Discrete(Schedule):
    """A table of N noise levels: t = (i + 1) / N is index i, and t = 0 is clean.

    Between indices log-SNR is linear in t; before the first, sigma / alpha is. `log_snrs` (N,) is all that is written;
    a last level of -inf (no signal) keeps its index, and between it and the one before, alpha is linear in t.
    Ho et al. 2020, https://arxiv.org/abs/2006.11239
    """

    @abc.abstractmethod
    def log_snrs(self) -> Tensor:
        """The table, float64 (N,), falling."""

    def alpha(self, t):
        t, last = t.double(), self._table[-1]
        alpha = self._log_snr(t).sigmoid().sqrt()
        if last.isfinite():
            return alpha
        return torch.where(self._ending(t) >= 0, (1 - self._ending(t)) * self._table[-2].sigmoid().sqrt(), alpha)

    def sigma(self, t):
        t, last = t.double(), self._table[-1]
        sigma = self._log_snr(t).neg().sigmoid().sqrt()
        if last.isfinite():
            return sigma
        ending = self._ending(t) >= 0
        alpha = torch.where(ending, self.alpha(t), 0)  # the root keeps its slope where it is not taken
        return torch.where(ending, (1 - alpha**2).sqrt(), sigma)

    def time(self, log_snr):
        log_snr, table = torch.as_tensor(log_snr, dtype=torch.float64), self._table
        i = torch.searchsorted(-table, -log_snr).clamp(1, len(table) - 1)  # table[i - 1] > log_snr >= table[i]
        index = i - 1 + (table[i - 1] - log_snr) / (table[i - 1] - table[i])
        if not table[-1].isfinite():
            before = table[-2].sigmoid().sqrt()
            index = torch.where(i == len(table) - 1, len(table) - 1 - log_snr.sigmoid().sqrt() / before, index)
        index = torch.where(log_snr > table[0], ((table[0] - log_snr) / 2).exp() - 1, index)
        return ((index + 1) / len(table)).clamp(max=1)

    def _ending(self, t):
        """How far t is between the last two indices, of 1."""
        return t * len(self._table) - (len(self._table) - 1)

    def _log_snr(self, t):
        table = self._table
        index = t * len(table) - 1
        i = index.floor().long().clamp(0, len(table) - (2 if table[-1].isfinite() else 3))
        between = table[i] + (index - i) * (table[i + 1] - table[i])
        return torch.where(index < 0, table[0] - 2 * (index + 1).log(), between)

    @cached_property
    def _table(self) -> Tensor:
        table = self.log_snrs()
        if len(table) < 3 or not (table.diff() < 0).all() or not table[:-1].isfinite().all():
            raise ValueError(f"the noise levels of {type(self).__name__} must be three or more, and grow")
        return table


def levels_of(betas: Tensor) -> Tensor:
    """Log-SNR (N,) of betas (N,): alpha_i^2 = prod_{j <= i} (1 - beta_j), sigma_i^2 = 1 - alpha_i^2."""
    log_alpha_squared = (-betas.double()).log1p().cumsum(0)
    return log_alpha_squared - (-log_alpha_squared.expm1()).log()


@dataclass(frozen=True)
class Tabulated(Discrete):
    """The betas of a discrete checkpoint, written out."""

    betas: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8)

    def __str__(self) -> str:
        return f"Tabulated({len(self.betas)} betas from {self.betas[0]:.3g} to {self.betas[-1]:.3g})"

    def log_snrs(self):
        return levels_of(torch.tensor(self.betas, dtype=torch.float64))


@dataclass(frozen=True)
class LinearBetas(Discrete):
    """Betas that grow linearly. Ho et al. 2020, https://arxiv.org/abs/2006.11239"""

    count: int = 1000
    first: float = 1e-4
    last: float = 0.02

    def log_snrs(self):
        return levels_of(torch.linspace(self.first, self.last, self.count, dtype=torch.float64))


@dataclass(frozen=True)
class ScaledLinearBetas(Discrete):
    """Betas whose square roots grow linearly: latent diffusion's. Rombach et al. 2021, https://arxiv.org/abs/2112.10752"""

    count: int = 1000
    first: float = 0.00085
    last: float = 0.012

    def log_snrs(self):
        return levels_of(torch.linspace(self.first**0.5, self.last**0.5, self.count, dtype=torch.float64) ** 2)


@dataclass(frozen=True)
class SigmoidBetas(Discrete):
    """Betas that grow as a sigmoid does from -6 to 6, from one bound to the other. Xu et al. 2022, GeoDiff,
    https://arxiv.org/abs/2203.02923
    """

    count: int = 1000
    first: float = 1e-4
    last: float = 0.02

    def log_snrs(self):
        rise = torch.linspace(-6, 6, self.count, dtype=torch.float64).sigmoid()
        return levels_of(self.first + (self.last - self.first) * rise)


@dataclass(frozen=True)
class CosineBetas(Discrete):
    """The table of the cosine schedule with offset `s`, its betas held under `beta_max`.

    Nichol & Dhariwal 2021, https://arxiv.org/abs/2102.09672
    """

    count: int = 1000
    s: float = 0.008
    beta_max: float = 0.999

    def log_snrs(self):
        t = torch.arange(self.count + 1, dtype=torch.float64) / self.count
        alpha_squared = torch.cos((t + self.s) / (1 + self.s) * torch.pi / 2) ** 2
        return levels_of((1 - alpha_squared[1:] / alpha_squared[:-1]).clamp(max=self.beta_max))


@dataclass(frozen=True)
class ZeroTerminalSNR(Discrete):
    """A table moved and stretched so that its last level is pure noise:

        alpha_i becomes (alpha_i - alpha_last) alpha_0 / (alpha_0 - alpha_last)

    Lin et al. 2023, https://arxiv.org/abs/2305.08891, algorithm 1
    """

    schedule: Discrete = ScaledLinearBetas()

    def log_snrs(self):
        alpha = self.schedule.log_snrs().sigmoid().sqrt()
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
        return 2 * alpha.log() - (-(alpha**2)).log1p()


def onto(x: Tensor, *coefficients: Tensor) -> tuple[Tensor, ...]:
    """Brings coefficients to the data: on x's device, float32 or as wide as x, with axes appended until they broadcast.

    A coefficient has the shape of its time: `()`, or the leading axes of x, or anything that broadcasts against x.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    return tuple(c.reshape(c.shape + (1,) * (x.ndim - c.ndim)).to(x.device, dtype) for c in coefficients)
