"""The learning rate as a function of the samples seen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Trapezoid:
    """Rises linearly from nothing over `warmup` samples, stays at 1, and falls linearly to nothing over the last share
    `decay` of `total`. Hägele et al. 2024, https://arxiv.org/abs/2405.18392
    """

    total: int
    warmup: int = 10_000
    decay: float = 0.5

    def __call__(self, seen: int) -> float:
        """The factor of the peak rate for the step that begins at `seen`."""
        up = min(1.0, (seen + 1) / max(self.warmup, 1))
        down = min(1.0, max(0.0, (self.total - seen) / max(self.decay * self.total, 1)))
        return up * down
