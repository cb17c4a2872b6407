"""What conditions on a measurement y = A(x) + std_y n: a guess that is changed, or a step."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..core.denoisers import Denoiser, Estimate
from ..core.schedules import Schedule, onto
from ..errors import ReverieError
from ..guidance.base import moved
from ..samplers.base import Sampler
from .operators.base import Operator, Spectrum, measured, said

LEAST = -10.0
"""Log-SNR below which gradients are taken at this noise level: sigma_t^2 / alpha_t grows without bound to t = 1."""


class Posterior(Denoiser):
    """A denoiser of p(x | y), around one of p(x): it works with every sampler.

    `y` is a batch as long as the samples, or of one row for all of them; `std_y` is the deviation of its noise. Raises
    ReverieError where the operator lacks what the method needs, and when asked where y and samples do not fit it.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """Of what operators may offer."""

    def __init__(self, denoiser: Denoiser, y: Tensor, operator: Operator, std_y: float) -> None:
        super().__init__()
        accepts(type(self), operator, std_y)
        self.denoiser, self.schedule = denoiser, denoiser.schedule
        self.y, self.operator, self.std_y = y, operator, std_y

    def residual(self, x_hat: Tensor) -> Tensor:
        """y - A(x_hat)"""
        return measurement(self.y, self.operator, x_hat) - self.operator.forward(x_hat)


class Gradient(Posterior):
    """By the gradient of the guess, through the denoiser."""

    @abc.abstractmethod
    def gap(self, x_hat: Tensor, t: Tensor, covariance: "Covariance") -> Tensor:
        """What is added to the guess."""

    def forward(self, x_t, t, **cond):
        estimate, near, covariance = differentiated(self.denoiser, x_t, t, **cond)
        x_hat = estimate.x_hat + self.gap(estimate.x_hat, near, covariance)
        return moved(estimate, x_hat, x_t, t, self.schedule)


Covariance = Callable[[Tensor], Tensor]
"""v to sigma_t^2 / alpha_t J^T v, J = d x_hat / d x_t: of an exact denoiser, Cov[x | x_t] v."""


def differentiated(denoiser: Denoiser, x_t: Tensor, t: Tensor, **cond: Tensor) -> tuple[Estimate, Tensor, Covariance]:
    """The guess, the time at which it was made, t or that of `LEAST`, and what its gradient does."""
    near, through = torch.minimum(t, denoiser.schedule.time(LEAST)), torch.is_grad_enabled()
    alpha, sigma = denoiser.schedule(near)
    (gain,) = onto(x_t, sigma**2 / alpha)
    with torch.enable_grad():
        x = x_t if x_t.requires_grad else x_t.detach().requires_grad_()
        estimate = denoiser(x, near, **cond)

    def covariance(v: Tensor) -> Tensor:
        (Jv,) = torch.autograd.grad(estimate.x_hat, x, v, retain_graph=True, create_graph=through)
        return gain * Jv

    return estimate if through else each(estimate, Tensor.detach), near, covariance


def each(estimate: Estimate, change: Callable[[Tensor], Tensor]) -> Estimate:
    """The estimate with all that it knows changed in one way."""
    return Estimate(change(estimate.x_hat), *[part if part is None else change(part) for part in estimate[1:]])


@dataclass(frozen=True, eq=False)
class PosteriorSampler(Sampler):
    """A sampler of p(x | y) by a denoiser of p(x); it holds its measurement, and `std_y`, the deviation of its noise.

    `y` and errors are as those of `Posterior`.
    """

    y: Tensor
    operator: Operator
    std_y: float = 0.0

    needs: ClassVar[frozenset[str]] = frozenset({"spectrum"})
    """Of what operators may offer."""
    particles: ClassVar[bool] = False
    """Whether samples are (B, K, *): K particles for each row of y."""
    wraps: ClassVar[bool] = False
    """Whether it is around a sampler, one of those with a `transition`: its step is of one guess, and remembers nothing."""
    order = 0
    """None: it goes to no flow."""
    stochastic = True
    weak = True

    @classmethod
    def variants(cls, y: Tensor, operator: Operator, std_y: float) -> tuple["PosteriorSampler", ...]:
        return (cls(y, operator, std_y),)

    def __post_init__(self):
        accepts(type(self), self.operator, self.std_y)

    def seen(self, x: Tensor) -> tuple[Spectrum, Tensor]:
        """The coordinates V^T x in which A is diagonal, and those of A^+ y: zero where y says nothing."""
        spectrum = self.operator.spectrum(tuple(x.shape[1:]))
        return spectrum, measured(spectrum, self.operator, measurement(self.y, self.operator, x))


def spread(schedule: Schedule, t: Tensor, std_data: float) -> Tensor:
    """r_t^2, float64: the variance of x given x_t for x ~ N(0, std_data^2), regular at both ends.

    r_t^2 = sigma_t^2 std_data^2 / (alpha_t^2 std_data^2 + sigma_t^2)
    """
    alpha_t, sigma_t = schedule(t)
    return sigma_t**2 * std_data**2 / (alpha_t**2 * std_data**2 + sigma_t**2)


def accepts(method: type, operator: Operator, std_y: float) -> None:
    """Raises ReverieError where a method is not defined for an operator, or the noise is none."""
    lacking = method.needs - operator.offers  # type: ignore[attr-defined]
    if lacking:
        raise ReverieError(f"{method.__name__} needs the {' and the '.join(sorted(lacking))} of the operator, which "
                           f"{operator} does not have: take DPS, MMPS or TMPD")  # fmt: skip
    if not 0 <= std_y < float("inf"):
        raise ReverieError(f"the noise of a measurement has a deviation of 0 or more, not {std_y}")


def steps_once(method: type, sampler: Sampler) -> None:
    """Raises ReverieError where a step is not of one guess without memory."""
    if not hasattr(sampler, "transition"):
        raise ReverieError(f"{method.__name__} goes around a sampler whose step is of one guess and remembers nothing, not "
                           f"around {sampler}: take DDPM() or DDIM(eta=1.0)")  # fmt: skip


def measurement(y: Tensor, operator: Operator, x: Tensor) -> Tensor:
    """y on the device of x and in its type, without what no A(x) can be. Raises ReverieError where the two do not fit."""
    wanted = operator.shape(tuple(x.shape[1:]))
    if tuple(y.shape[1:]) != tuple(wanted) or len(y) not in (1, len(x)):
        raise ReverieError(f"{operator} makes measurements of {len(x)} x {said(wanted)}, but y is {said(y.shape)}: give one "
                           "row a sample, or one row for all")  # fmt: skip
    y = y.to(x.device, torch.promote_types(x.dtype, torch.float32))
    return (
        operator.forward(operator.pseudo_inverse(y)) if operator.linear and "pseudo-inverse" in operator.offers else y
    )
