"""Oracles: data of which everything is known exactly, to test samplers, likelihoods and posteriors against."""

from .base import Oracle
from .empirical import Empirical
from .fitting import fit
from .mixture import Mixture
from .normal import Normal

__all__ = ["Empirical", "Mixture", "Normal", "Oracle", "fit"]
