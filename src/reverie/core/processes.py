"""Forward processes: how data become noise, and where a noisier sample came from."""

from dataclasses import dataclass

from torch import Tensor

from .schedules import Schedule, onto


@dataclass(frozen=True)
class Gaussian:
    """x_t = alpha_t x + sigma_t eps."""

    schedule: Schedule

    def draw(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t given the data x (B, *) and unit noise of its shape."""
        alpha_t, sigma_t = onto(x, *self.schedule(t))
        return alpha_t * x + sigma_t * eps

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t given the cleaner x_s, s < t: the step up that RePaint and Restart take."""
        (alpha_s, sigma_s), (alpha_t, sigma_t) = self.schedule(s), self.schedule(t)
        scale = alpha_t / alpha_s
        scale, std = onto(x_s, scale, (sigma_t**2 - (scale * sigma_s) ** 2).sqrt())
        return scale * x_s + std * eps

    def posterior(self, x_t: Tensor, x: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(x_s | x_t, x), s < t. With r^2 = snr_t / snr_s:

        mean = alpha_s x + sigma_s r (x_t - alpha_t x) / sigma_t,    std = sigma_s sqrt(1 - r^2)
        """
        (alpha_s, sigma_s), (alpha_t, sigma_t) = self.schedule(s), self.schedule(t)
        r = alpha_t / alpha_s * sigma_s / sigma_t
        alpha_s, alpha_t, ratio, std = onto(x, alpha_s, alpha_t, r * sigma_s / sigma_t, sigma_s * (1 - r**2).sqrt())
        return alpha_s * x + ratio * (x_t - alpha_t * x), std

    def bounds(self, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """The least and the greatest deviation that a step t -> s may have, float64 and shaped like t:

            q(x_s | x_t, x) has sigma_s / sigma_t b,  q(x_t | x_s) has b = sqrt(sigma_t^2 - (alpha_t / alpha_s sigma_s)^2)

        the first is right for data of one point, the second for data of unit variance (Ho et al. 2020, section 3.2).
        """
        (alpha_s, sigma_s), (alpha_t, sigma_t) = self.schedule(s), self.schedule(t)
        upper = (sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2).clamp(min=0).sqrt()
        return sigma_s / sigma_t * upper, upper
