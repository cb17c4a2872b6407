"""Data: sets kept decoded in memory, the order in which their samples are seen, and the readers that make them."""

from .base import Dataset, Report, Skipped
from .order import which

__all__ = ["Dataset", "Report", "Skipped", "which"]
