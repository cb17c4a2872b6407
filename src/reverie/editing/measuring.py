"""A measurement of a picture, and what is done so that an edit agrees with it."""

import inspect
from typing import Any

from torch import Tensor

from .. import discover, posterior
from ..core.denoisers import Denoiser
from ..errors import ReverieError, unknown
from ..posterior.base import Posterior, PosteriorSampler
from ..posterior.operators.base import Operator
from ..samplers.base import Sampler
from .working import Change, Work


def methods() -> dict[str, type]:
    """What `--method` knows, by name: all but those that need several samples to make one."""
    changed = discover.discover(posterior, Posterior)  # type: ignore[type-abstract]
    stepped = discover.discover(posterior, PosteriorSampler)  # type: ignore[type-abstract]
    return dict(sorted((changed | {name: cls for name, cls in stepped.items() if not cls.particles}).items()))


def agreeing(method: str, work: Work, y: Tensor, operator: Operator, std_y: float) -> tuple[Change, Sampler | None]:
    """What becomes of the denoiser, and the sampler in place of the one chosen, if any. y (1, *).

    Raises ReverieError where nobody knows the method, or it is not defined for the operator.
    """
    known = methods()
    cls: Any = next((one for name, one in known.items() if name.lower() == method.lower()), None)
    if cls is None:
        raise unknown("method", method, known)
    takes = inspect.signature(cls).parameters
    options: dict[str, Any] = {"std_y": std_y, "std_data": work.system.codec.std}
    options = {name: value for name, value in options.items() if name in takes}
    y = y.to(work.system.device)
    if issubclass(cls, PosteriorSampler):
        if getattr(cls, "wraps", False) and hasattr(work.sampler, "transition"):
            options["sampler"] = work.sampler
        return lambda denoiser: denoiser, cls(y, operator, **options)

    def change(denoiser: Denoiser) -> Denoiser:
        return cls(denoiser, y, operator, **options)

    change(work.denoiser(work.batches()[0]))  # refused before anything is drawn
    return change, None


def projected(z: Tensor, y: Tensor, operator: Operator, rounds: int = 200) -> Tensor:
    """z (B, *) in [-1, 1] brought to agree with y: x + A^+ (y - A x), and back into the range, until nothing is off by half a
    level, or `rounds` times: where y is at an end of the range, each round takes away a part of what is too much.
    """
    y, z = y.to(z), z.clamp(-1, 1)
    for _ in range(rounds):
        off = y - operator.forward(z)
        if off.abs().max() < 1 / 255:
            break
        z = (z + operator.pseudo_inverse(off)).clamp(-1, 1)
    return z


def fits(operator: Operator, shape: tuple[int, ...]) -> None:
    """Raises ReverieError where an operator and pictures (C, H, W) do not fit."""
    operator.shape(shape)


def limit(height: int, width: int) -> None:
    """Raises ReverieError where an edit would be larger than any picture that is read."""
    from ..data.pictures import PIXELS

    if height * width > PIXELS:
        raise ReverieError(f"the result would be {width} x {height}: more than {PIXELS // 10**6} million pixels")
