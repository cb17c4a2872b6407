"""Pretrained weights, out of the one format that could run code and into one that cannot."""

from pathlib import Path

import torch
from torch import Tensor

from .. import files
from ..errors import ReverieError


def convert(pth: Path, target: Path) -> None:
    """A `.pth` file of named tensors, whose hash was checked, as safetensors. Raises ReverieError for anything else."""
    try:
        state = torch.load(pth, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler's own error cannot be named without importing it
        raise ReverieError(
            f"{pth.name} holds more than plain tensors, or is damaged: {type(error).__name__}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ReverieError(f"{pth.name} is not a table of named tensors")
    files.save_tensors(target, {name: tensor.clone() for name, tensor in state.items()})
