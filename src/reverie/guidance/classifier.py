"""Guidance by a classifier's gradient."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..core.denoisers import Denoiser
from ..core.schedules import onto
from .base import Guidance, moved

LEAST = -14.0
"""Log-SNR below which the gradient, which fades with alpha_t, is taken at this noise level: sigma_t^2 / alpha_t grows."""


class Classified(Guidance):
    """Classifier guidance: the score of p(x) p(y | x)^weight from a denoiser of p(x) and a classifier.

        x_hat <- x_hat + weight sigma_t^2 / alpha_t grad log p(y | x_t)

    `log_prob(x, t)`, (B,), is that of a classifier of noisy x_t. With `clean` it is that of one that knows clean data alone,
    asked at x_hat and t = 0, and differentiated through the denoiser; at t = 1, where x_hat does not depend on x_t, that
    says nothing. Dhariwal & Nichol 2021, https://arxiv.org/abs/2105.05233; clean: https://arxiv.org/abs/2302.07121
    """

    space = "noise"
    neutral = {"weight": 0.0}  # noqa: RUF012

    def __init__(
        self, denoiser: Denoiser, log_prob: Callable[[Tensor, Tensor], Tensor], weight: float = 1.0, clean: bool = False
    ) -> None:
        super().__init__()
        self.denoiser, self.log_prob, self.schedule = denoiser, log_prob, denoiser.schedule
        self.weight, self.clean = weight, clean

    @classmethod
    def variants(cls, strong, weak):
        def log_prob(x, t):
            return torch.nn.functional.logsigmoid(3 * x.flatten(1).sum(1))

        return cls(weak, log_prob), cls(weak, log_prob, clean=True)

    def forward(self, x_t, t, **cond):
        if self.weight == 0:
            return self.denoiser(x_t, t, **cond)
        near = torch.minimum(t, self.schedule.time(LEAST))
        through = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x_t if x_t.requires_grad else x_t.detach().requires_grad_()
            estimate = self.denoiser(x if self.clean else x_t, t, **cond)
            at, when = (estimate.x_hat, torch.zeros_like(near)) if self.clean else (x, near)
            (gradient,) = torch.autograd.grad(self.log_prob(at, when).sum(), x, create_graph=through)
        if not through:
            estimate = type(estimate)(*[None if part is None else part.detach() for part in estimate])
        alpha, sigma = self.schedule(near)
        (gain,) = onto(x_t, self.weight * sigma**2 / alpha)
        return moved(estimate, estimate.x_hat + gain * gradient, x_t, t, self.schedule)
