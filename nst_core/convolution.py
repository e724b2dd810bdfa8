"""One 3 × 3 convolution of the network, with the ReLU that follows it.

Owns its forward and backward arithmetic. Autograd's own would keep the input, the bordered input
and both outputs of every layer for gradients of weights that nobody asks for; here only the output
is kept, which is all that the gradient of the input needs.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Border = Literal["replicate", "zeros"]


class Convolution:
    """Frozen weights (out, in, 3, 3) and bias (out,), ready for both directions."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = weight.to(memory_format=torch.channels_last)
        self.bias = bias
        # The gradient of a convolution is one with its filters turned round; run as such, it is
        # a tenth faster on a CPU than the library's backward pass.
        turned = self.weight.flip(2, 3).transpose(0, 1)
        self.turned = turned.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, border: Border, *, rectified: bool) -> Tensor:
        """Return the convolution of (1, in, H, W): (1, out, H, W), with or without the ReLU."""
        y: Tensor = _Convolve.apply(x, self, border, rectified)
        return y


class _Convolve(torch.autograd.Function):
    """The convolution as autograd sees it: a function of its input alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, conv: Convolution, border: Border, rectified: bool) -> Tensor:  # noqa: ANN401 - torch calls it by place
        """Return the output, and keep it for the ReLU's gradient."""
        ctx.conv, ctx.border = conv, border
        if border == "zeros":
            y = functional.conv2d(x, conv.weight, conv.bias, padding=1)
        else:
            bordered = functional.pad(x, (1, 1, 1, 1), mode="replicate")
            y = functional.conv2d(bordered, conv.weight, conv.bias)
        if rectified:
            y = y.relu_()
            ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's own type
        """Return the gradient of the input."""
        (gradient,) = gradients
        if ctx.saved_tensors:
            gradient = torch.ops.aten.threshold_backward(gradient, *ctx.saved_tensors, 0)
        if ctx.border == "zeros":
            return functional.conv2d(gradient, ctx.conv.turned, padding=1), None, None, None
        return _fold(functional.conv2d(gradient, ctx.conv.turned, padding=2)), None, None, None


def _fold(bordered: Tensor) -> Tensor:
    """Return the gradient (1, C, H, W) of what a border of one repeated pixel was put around.

    By slices and in a fixed order, unlike torch's padding on CUDA, so that it gives the same bits
    each time.
    """
    bordered[:, :, 1].add_(bordered[:, :, 0])
    bordered[:, :, -2].add_(bordered[:, :, -1])
    bordered[..., 1].add_(bordered[..., 0])
    bordered[..., -2].add_(bordered[..., -1])
    return bordered[..., 1:-1, 1:-1]
