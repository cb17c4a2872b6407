"""The one door to accelerate: devices and several processes."""

from typing import Any

import torch
from torch import nn


def accelerator() -> Any:
    """An `accelerate.Accelerator`: it prepares, exchanges gradients and steps. Types are the denoiser's, saving is ours."""
    from accelerate import Accelerator

    return Accelerator(mixed_precision="no", cpu=not torch.cuda.is_available())


def bare(module: nn.Module) -> nn.Module:
    """What a prepared module was before: without the wrapper of several processes."""
    return module.module if hasattr(module, "module") and isinstance(module.module, nn.Module) else module


def bfloat16_is_fast() -> bool:
    """Whether this machine multiplies bfloat16 in hardware; elsewhere it is emulated, and slow."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported())
