"""How far a picture's statistics are from those wanted in a region: the style loss.

Either the squared Wasserstein-2 distance as a share of an energy, or eq. 5 of Gatys et al. 2016 as
published. By the style's energy alone a faint style would weigh some ten times a strong one, so the
photo's counts as well.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from nst_core import histograms, losses, wasserstein
from nst_core.moments import Moments
from nst_core.regions import Region
from nst_core.targets import Features, Statistics


class StyleGoal:
    """A region's statistics, ready to be compared with."""

    def __init__(
        self, region: Region, photo: Statistics, weights: Mapping[str, float], *, published: bool
    ) -> None:
        self.region = region
        self._weights = weights
        self._published = published
        self._energies = {
            layer: (region.wanted[layer].energy + photo[layer].energy).clamp_min(1e-12) / 2
            for layer in weights
        }
        self._targets = {
            layer: wasserstein.Target.of(region.wanted[layer]) for layer in weights if not published
        }

    def distance(self, found: Statistics) -> Tensor:
        """Return the weighted distance of a picture's statistics, a scalar."""
        terms = [weight * self._layer(name, found[name]) for name, weight in self._weights.items()]
        return self.region.share * torch.stack(terms).sum()

    def histogram_tables(self, counts: Features) -> Features:
        """Return what each bin's values should become, for the counts of bins that were found."""
        return {
            layer: histograms.matching(histograms.shares(found), self.region.histograms[layer])
            for layer, found in counts.items()
        }

    def histogram_distance(self, squares: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted distance of the histograms, from its sums over weighted positions."""
        terms = [
            self._weights.get(layer, 0.0) * each / self._energies[layer]
            for layer, each in squares.items()
        ]
        return self.region.share * sum(terms, start=torch.zeros(()))

    def _layer(self, layer: str, found: Moments) -> Tensor:
        if self._published:
            return losses.style_loss(found.second, self.region.wanted[layer].second)
        return wasserstein.squared_distance(found, self._targets[layer]) / self._energies[layer]
