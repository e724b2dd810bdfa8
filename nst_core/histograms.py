"""The histogram loss of Risser, Wilmot & Barnes 2017 (arXiv:1701.08893), section 3.3.

Two moments may agree while the values behind them do not: a texture of bright spots on black and a
grey one. Here each feature map is drawn towards itself with the style's histogram.
"""

import torch
from torch import Tensor

BINS = 256


def counts(features: Tensor, top: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return how many positions of features (1, N, H, W) fall into each bin: (N, BINS).

    Bins divide 0 to `top` (N,) evenly; what lies above is in the last. Weights (H, W) count in
    whole 255ths, as masks have them, so that the sum has the same bits in any order.
    """
    place = _bin(features, top)
    if weight is not None:
        levels = (weight * 255).round().long().flatten()
        return place.new_zeros(len(top), BINS).scatter_add_(1, place, levels.expand_as(place))
    shifted = place + BINS * torch.arange(len(top), device=top.device).unsqueeze(1)
    return torch.bincount(shifted.flatten(), minlength=BINS * len(top)).view(-1, BINS)


def shares(histogram: Tensor) -> Tensor:
    """Return counts (N, BINS) as shares of each row, float32; an empty row stays empty."""
    return histogram / histogram.sum(dim=1, keepdim=True).clamp_min(1)


def matching(found: Tensor, wanted: Tensor) -> Tensor:
    """Return at which place, in bins, the values of each bin lie in the wanted histogram.

    Args:
        found: the shares of each bin, (N, BINS).
        wanted: those of the histogram to be reached, (N, BINS).

    Returns:
        (N, BINS): the wanted histogram's quantile at the middle rank of each bin of `found`.
    """
    rank = found.cumsum(dim=1) - found / 2
    up_to = wanted.cumsum(dim=1)
    index = torch.searchsorted(up_to, rank.contiguous()).clamp(max=BINS - 1)
    share = wanted.gather(1, index).clamp_min(1e-9)
    inside = (rank - (up_to.gather(1, index) - share)) / share
    return index + inside.clamp(0, 1)


def distance(features: Tensor, table: Tensor, top: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return Σ w (F − R(F))² for R as `matching` has it, eq. 6; R is held constant."""
    rows = features.flatten(2).squeeze(0).float()
    with torch.no_grad():
        wanted = table.gather(1, _bin(features, top)) / BINS * top.unsqueeze(1)
    squares = (rows - wanted).square()
    return squares.sum() if weight is None else (squares * weight.flatten()).sum()


def _bin(features: Tensor, top: Tensor) -> Tensor:
    """Return the bin of each of features (1, N, H, W), (N, H·W); that of NaN is any of them."""
    rows = features.flatten(2).squeeze(0).float()
    return (rows / top.clamp_min(1e-12).unsqueeze(1) * BINS).long().clamp(0, BINS - 1)
