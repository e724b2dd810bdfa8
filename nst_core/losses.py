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


def total_variation(pixels: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels of (1, 3, H, W).

    Not in the paper; Mahendran & Vedaldi 2015 (arXiv:1412.0035), eq. 4 with β = 2.
    """
    down = (pixels[:, :, 1:] - pixels[:, :, :-1]).square().mean()
    right = (pixels[..., 1:] - pixels[..., :-1]).square().mean()
    return down + right


def _exact(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()
