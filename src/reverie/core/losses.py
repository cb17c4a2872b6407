"""Training objectives: squared error of the guess, and the variational bound."""

import torch
from torch import Tensor, nn

from .denoisers import Denoiser, Preconditioned
from .densities import Density, LogNormal
from .likelihood import gaussian_kl, quantized_log_likelihood
from .noise import Noise
from .processes import Gaussian
from .schedules import onto
from .spaces import Space
from .weights import Karras, Weight


class DenoisingLoss(nn.Module):
    """E[w_t |x_hat(x_t, t) - x|^2], averaged over what is real in the space.

    With an `uncertainty` u(c_noise), the log-variance of the loss at a noise level, learned on the way, noise levels
    are balanced by themselves: E[exp(-u) w |x_hat - x|^2 + u]. Karras et al. 2024, https://arxiv.org/abs/2312.02696
    """

    def __init__(
        self,
        denoiser: Denoiser,
        weight: Weight = Karras(),
        density: Density = LogNormal(),
        uncertainty: "Uncertainty | None" = None,
    ) -> None:
        super().__init__()
        self.denoiser, self.weight, self.density = denoiser, weight, density
        self.uncertainty: Uncertainty | None = uncertainty

    def forward(self, x: Tensor, noise: Noise, space: Space = Space(), **cond: Tensor) -> Tensor:
        """The mean loss of clean samples x (B, *); a scalar."""
        schedule = self.denoiser.schedule
        t = self.density.draw(schedule, noise, len(x))
        x_t = Gaussian(schedule).draw(x, t, noise.draw(x))
        (weight,) = onto(x, self.weight(*schedule(t)))
        loss = space.mean(weight * (self.denoiser(x_t, t, **cond).x_hat - x) ** 2)
        if self.uncertainty is not None:
            u: Tensor = self.uncertainty(schedule.log_snr(t).clamp(-20, 20).to(x.device, torch.float32) / 8)
            loss = loss * (-u).exp() + u
        return loss.mean()


class Uncertainty(nn.Module):
    """The log-variance of the loss at a noise level: a linear map of fixed random Fourier features, zero at first."""

    frequency: Tensor
    phase: Tensor

    def __init__(self, features: int = 64, seed: int = 0) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(seed)
        self.register_buffer("frequency", 2 * torch.pi * torch.randn(features, generator=stream))
        self.register_buffer("phase", 2 * torch.pi * torch.rand(features, generator=stream))
        self.linear = nn.Linear(features, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, c_noise: Tensor) -> Tensor:
        """(B,) of c_noise (B,)."""
        return self.linear((c_noise[:, None] * self.frequency + self.phase).cos())[:, 0]


class VariationalLoss(nn.Module):
    """The bound on -log p(x) over `count` even steps of time, one step drawn a sample, in bits per entry.

        t = (i + 1) / count, s = i / count:    count KL(q(x_s | x_t, x) || N(mean, std^2)),    i > 0
        to the data:                           -count log N(x; x_hat, std^2) over bins of width `bin`

    std lies at the network's `fraction` between the bounds of `Gaussian.bounds`; a network without one has the lower.
    Ho et al. 2020, https://arxiv.org/abs/2006.11239; Nichol & Dhariwal 2021, https://arxiv.org/abs/2102.09672
    """

    def __init__(self, denoiser: Denoiser, count: int = 1000, bin: float | None = 2 / 255) -> None:
        super().__init__()
        self.denoiser, self.count, self.bin = denoiser, count, bin

    def forward(self, x: Tensor, noise: Noise, space: Space = Space(), **cond: Tensor) -> Tensor:
        i = (noise.uniform(torch.empty(len(x), dtype=torch.float64)) * self.count).floor()
        t = (i + 1) / self.count
        x_t = Gaussian(self.denoiser.schedule).draw(x, t, noise.draw(x))
        estimate = self.denoiser(x_t, t, **cond)
        return space.mean(self.bound(x, x_t, i, estimate.x_hat, estimate.fraction)).mean()

    def bound(self, x: Tensor, x_t: Tensor, i: Tensor, x_hat: Tensor, fraction: Tensor | None) -> Tensor:
        """Bits of each entry, shaped like x, for the steps of index i (B,)."""
        process, t, s = Gaussian(self.denoiser.schedule), (i + 1) / self.count, i / self.count
        # the last step has no lower bound on its deviation: it borrows that of the step before, as the paper does
        lower = process.bounds(t.clamp(min=2 / self.count), s.clamp(min=1 / self.count))[0]
        lower, upper = onto(x, lower, process.bounds(t, s)[1])
        log_std = lower.log() if fraction is None else fraction * upper.log() + (1 - fraction) * lower.log()
        truth, std = process.posterior(x_t, x, t, s.clamp(min=1 / self.count / 2))
        mean, _ = process.posterior(x_t, x_hat, t, s.clamp(min=1 / self.count / 2))
        nats = gaussian_kl(truth, std.log(), mean, log_std)
        (last,) = onto(x, i == 0)
        nats = torch.where(last > 0, -quantized_log_likelihood(x, x_hat, log_std, self.bin), nats)
        return self.count * nats / torch.log(torch.tensor(2.0))


class HybridLoss(nn.Module):
    """The simple loss, which trains the guess, and `scale` times the variational bound, which trains only the variance.

    Nichol & Dhariwal 2021, https://arxiv.org/abs/2102.09672, equation 16.
    """

    def __init__(
        self, denoiser: Preconditioned, weight: Weight, count: int = 1000, bin: float | None = 2 / 255,
        scale: float = 0.001,
    ) -> None:  # fmt: skip
        if not denoiser.learns_variance:
            raise ValueError("the hybrid loss trains a variance: build Preconditioned with learns_variance=True")
        super().__init__()
        self.denoiser, self.weight, self.scale = denoiser, weight, scale
        self.variational = VariationalLoss(denoiser, count, bin)

    def forward(self, x: Tensor, noise: Noise, space: Space = Space(), **cond: Tensor) -> Tensor:
        count, schedule = self.variational.count, self.denoiser.schedule
        i = (noise.uniform(torch.empty(len(x), dtype=torch.float64)) * count).floor()
        t = (i + 1) / count
        x_t = Gaussian(schedule).draw(x, t, noise.draw(x))
        (weight,) = onto(x, self.weight(*schedule(t)))
        estimate = self.denoiser(x_t, t, **cond)
        simple = space.mean(weight * (estimate.x_hat - x) ** 2)
        bound = space.mean(self.variational.bound(x, x_t, i, estimate.x_hat.detach(), estimate.fraction))
        return (simple + self.scale * bound).mean()
