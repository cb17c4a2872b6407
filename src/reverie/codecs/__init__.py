"""Codecs: from raw data to what the model sees, and back."""

from .base import Codec
from .pixels import Pixels
from .standard import Standard

__all__ = ["Codec", "Pixels", "Standard"]
