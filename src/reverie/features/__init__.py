"""Extractors, one a file: networks that turn raw samples into features for metrics and perceptual losses."""

from .base import Extractor, choose

__all__ = ["Extractor", "choose"]
