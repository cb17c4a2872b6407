"""Metrics, one a file: how far a population of samples is from one of real data."""

from .base import Metric, Population
from .evaluate import Result, evaluate
from .ladder import ladder

__all__ = ["Metric", "Population", "Result", "evaluate", "ladder"]
