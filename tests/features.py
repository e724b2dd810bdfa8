"""The statistics of feature maps, as tests ask for them."""

from nst_core.moments import Moments, moment_sums


def moments(features, weight=None):
    """Return the moments of features (1, N, H, W), each position by its `weight` (H, W)."""
    first, second = moment_sums(features, weight)
    positions = features[0, 0].numel() if weight is None else weight.sum()
    return Moments.of_sums(first, second, positions)
