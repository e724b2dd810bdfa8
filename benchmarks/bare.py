"""The bare step: forward and backward through the network, and not one operation more.

What a step of the engine cannot do without, as plain torch has it: no loss, no optimiser, the
gradient of ones at the layers that a loss would look at.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from benchmarks.network import Convolutions, arranged, features


class BareStep:
    """Forward and backward of one picture; calling it takes the step."""

    def __init__(
        self,
        convs: Convolutions,
        layers: tuple[str, ...],
        *,
        pooling: Literal["max", "average"],
        dtype: torch.dtype,
        size: tuple[int, int],
    ) -> None:
        self._convs = arranged(convs, dtype=dtype, memory_format=torch.channels_last)
        self._layers = layers
        self._pooling = pooling
        width, height = size
        device = next(iter(convs.values()))[0].device
        pixels = torch.rand(1, 3, height, width, device=device, dtype=dtype)
        self._pixels = pixels.to(memory_format=torch.channels_last).requires_grad_()
        self._ones: list[Tensor] = []

    def __call__(self) -> Tensor:
        """Return the gradient of the picture."""
        found = features(self._pixels, self._convs, self._layers, pooling=self._pooling)
        outputs = list(found.values())
        if not self._ones:
            self._ones = [torch.ones_like(output) for output in outputs]
        return torch.autograd.grad(outputs, self._pixels, self._ones)[0]


def square_matmul(edge: int, *, dtype: torch.dtype, device: torch.device) -> Callable[[], Tensor]:
    """Return a product of edge³ multiply-adds, which shows what rate the device reaches."""
    matrix = torch.rand(edge, edge, device=device).to(dtype)
    return partial(torch.matmul, matrix, matrix, out=torch.empty_like(matrix))
