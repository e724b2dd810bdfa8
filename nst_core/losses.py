"""The terms of the loss, each a function of features.

Equations are those of Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural
Networks", CVPR 2016. Features come in any number format; all arithmetic here is float32 or finer.
"""

import torch
from torch import Tensor


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrix of features (1, N, H, W): (N, N), eq. 3, divided by M = H·W.

    The paper leaves the division to eq. 4; done here, pictures of different sizes compare.
    """
    maps = _exact(features).flatten(2).squeeze(0)
    return (maps @ maps.T) / maps.shape[1]


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """Return eq. 1: half the sum of squared differences of two features (1, N, H, W)."""
    return (_exact(features) - _exact(target)).square().sum() / 2


def style_loss(matrix: Tensor, target: Tensor) -> Tensor:
    """Return E_l of eq. 4 for two Gram matrices (N, N) that `gram` has divided by M."""
    return (matrix - target).square().sum() / (4 * matrix.shape[0] ** 2)


def relative_loss(value: Tensor, target: Tensor, energy: Tensor) -> Tensor:
    """Return the squared distance to `target` as a share of an `energy`.

    Takes the place of eqs. 1 and 4 where a weight shall mean the same at every size, in every layer
    and with every network: a factor on the features cancels out.
    """
    return (_exact(value) - _exact(target)).square().sum() / energy


def energy(*targets: Tensor) -> Tensor:
    """Return the mean squared length of tensors, never 0: what `relative_loss` divides by."""
    lengths = [_exact(target).square().sum() for target in targets]
    return torch.stack(lengths).mean().clamp_min(1e-12)


def total_variation(pixels: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels of (1, 3, H, W).

    Not in the paper; Mahendran & Vedaldi 2015 (arXiv:1412.0035), eq. 4 with β = 2.
    """
    down = (pixels[:, :, 1:] - pixels[:, :, :-1]).square().mean()
    right = (pixels[..., 1:] - pixels[..., :-1]).square().mean()
    return down + right


def _exact(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()
