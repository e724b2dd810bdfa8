"""Which number format the convolutions use on a device."""

from typing import Literal

import torch


def convolution_dtype(
    precision: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> torch.dtype:
    """Return the number format for `precision`; auto is bfloat16 where the hardware computes it.

    Without such hardware bfloat16 is emulated and slower than float32.
    """
    if precision == "auto":
        return torch.bfloat16 if _computes_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
