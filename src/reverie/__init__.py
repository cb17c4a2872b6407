"""Reverie trains, samples and evaluates diffusion models.

A schedule says how much noise, a denoiser guesses the clean sample, a sampler walks from noise to data; guidance and
measurements only change the guess.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .systems.base import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":  # not before it is asked for: it brings torch
        from . import editing  # noqa: F401  hands its verbs to what is loaded
        from .systems.base import load

        return load
    raise AttributeError(f"module 'reverie' has no attribute {name!r}")
