"""The terms of the loss, each a function of features.

Equations are those of Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural
Networks", CVPR 2016. Features come in any number format; all arithmetic here is float32 or finer.
"""

from collections.abc import Iterable

import torch
from torch import Tensor


def squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """Return the sum of squared differences of two features (1, N, H, W): twice eq. 1."""
    return (_exact(features) - _exact(target)).square().sum()


def style_loss(matrix: Tensor, target: Tensor) -> Tensor:
    """Return E_l of eq. 4 for two Gram matrices (N, N) that were divided by M."""
    return (matrix - target).square().sum() / (4 * matrix.shape[0] ** 2)


def energy(parts: Iterable[Tensor]) -> Tensor:
    """Return the squared length of a tensor that comes in parts, never 0.

    Distances are taken as a share of it where a weight shall mean the same at every size, in every
    layer and with every network: a factor on the features cancels out.
    """
    lengths = [_exact(part).square().sum() for part in parts]
    return torch.stack(lengths).sum().clamp_min(1e-12)


def total_variation(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared difference of neighbouring pixels of (1, 3, H, W), and its gradient.

    Not in the paper; Mahendran & Vedaldi 2015 (arXiv:1412.0035), eq. 4 with β = 2. Written out, for
    autograd would keep some eight pictures on the way.
    """
    with torch.no_grad():
        gradient = torch.zeros_like(pixels)
        value = pixels.new_zeros(())
        for edge in (2, 3):
            steps = pixels.diff(dim=edge)
            value += torch.linalg.vector_norm(steps).square() / steps.numel()
            steps *= 2 / steps.numel()
            gradient.narrow(edge, 1, steps.shape[edge]).add_(steps)
            gradient.narrow(edge, 0, steps.shape[edge]).sub_(steps)
        return value, gradient


def _exact(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()
