"""Modalities: what differs between pictures and arrays, and nothing else."""

from .base import Modality, claiming, load

__all__ = ["Modality", "claiming", "load"]
