"""Evaluations that keep the inner features of a network from an evaluation before: fewer operations, and another guess."""

from collections.abc import Callable

from torch import Tensor

from .denoisers import Denoiser


class Reusing(Denoiser):
    """The same denoiser, whose network computes its inside at every `every`-th evaluation alone.

    Between them the inside gives what it gave last, since that changes slowly from one noise level to the next; the rest,
    the levels or blocks next to x_t, is computed as ever. The guess is another one, near the denoiser's: what it costs in
    quality is measured in docs/performance.md. A batch of another shape begins afresh.

    The network is called with `through=`, a function that it gives its inside and the features before it. U-Net: Ma et al.
    2023, https://arxiv.org/abs/2312.00858; transformers: Chen et al. 2024, https://arxiv.org/abs/2406.01125
    """

    remembers = ("kept",)

    def __init__(self, denoiser: Denoiser, every: int) -> None:
        """Raises ValueError where `every` is below 1, or the network of the denoiser is none that has an inside."""
        super().__init__()
        if every < 1:
            raise ValueError(f"features are computed every 1st, 2nd, ... evaluation, not every {every}th")
        if every > 1 and not any(getattr(part, "has_inside", False) for part in denoiser.modules()):
            raise ValueError("the network of this model computes everything at every evaluation: leave out reuse")
        self.denoiser, self.schedule, self.every = denoiser, denoiser.schedule, every
        self.kept: tuple[int, Tensor] | None = None
        """Evaluations since, and what the inside gave."""

    def forward(self, x_t, t, **cond):
        if self.every == 1:
            return self.denoiser(x_t, t, **cond)
        return self.denoiser(x_t, t, through=self.through, **cond)

    def through(self, inside: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
        since, given = self.kept or (0, None)
        if given is None or since + 1 >= self.every or len(given) != len(h) or given.dtype != h.dtype:
            self.kept = 0, (given := inside(h))
        else:
            self.kept = since + 1, given
        return given
