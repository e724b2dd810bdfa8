"""What a picture of one size is compared with: the photo's features and the styles' statistics.

Owns how they are computed from the sources, tile by tile, and the cache that keeps the styles'
from job to job.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from nst_core import histograms
from nst_core.layers import HISTOGRAM_LAYERS, downsampling
from nst_core.moments import Moments, moment_sums
from nst_core.pixels import preprocess, read_mask
from nst_core.sources import Source
from nst_core.tiles import Tile, cut
from nst_core.vgg import Pooling, Vgg

Features = dict[str, Tensor]
Size = tuple[int, int]


#: Moments by layer.
Statistics = dict[str, Moments]
#: How far a histogram reaches, in root mean squares of its layer's channel.
_HISTOGRAM_REACH = 8.0


@dataclass
class TargetCache:
    """The style statistics that were used last, `most` pictures and sizes of them."""

    most: int = 64
    _kept: OrderedDict[Hashable, Statistics] = field(default_factory=OrderedDict)

    def get(self, key: Hashable, make: Callable[[], Statistics]) -> Statistics:
        """Return what is kept under `key`, or make it and keep it."""
        if key not in self._kept:
            self._kept[key] = make()
        self._kept.move_to_end(key)
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)
        return self._kept[key]


@dataclass(frozen=True)
class Lens:
    """How pictures are looked at: which layers of which network, in tiles of at most which edge."""

    network: Vgg
    pooling: Pooling
    layers: tuple[str, ...]
    edge: int

    def tiles(self, size: Size) -> tuple[Tile, ...]:
        """Return the tiles of a picture of a size (width, height)."""
        return cut(*size, self.edge, self.layers)

    def features(self, window: Tensor, tile: Tile) -> Features:
        """Return the features that a tile owns, from the pixels (1, 3, h, w) of its window."""
        found = self.network.features(window, self.layers, self.pooling)
        return {layer: maps[(..., *tile.owned(layer))] for layer, maps in found.items()}

    def weights(self, visible: Tensor, tile: Tile) -> Features:
        """Return how much each position that a tile owns weighs: (h, w) for each layer.

        `visible` (H, W) says so for the picture's pixels; a position has the mean of its own.
        """
        window = visible[tile.window].unsqueeze(0)
        return {
            layer: functional.avg_pool2d(window, downsampling(layer)).squeeze(0)[tile.owned(layer)]
            for layer in self.layers
        }

    def windows(self, source: Source, size: Size) -> Iterator[tuple[Tile, Tensor, Features | None]]:
        """Yield each tile of a source with its window's pixels and the weights of what it owns.

        The weights are those of the source's alpha; None where all of it is visible.
        """
        pixels = preprocess(source.picture, size).to(self.network.device)
        alpha = None if source.alpha is None else read_mask(source.alpha, size)
        visible = None if alpha is None else alpha.to(pixels.device)
        for tile in self.tiles(size):
            weights = None if visible is None else self.weights(visible, tile)
            yield tile, pixels[(..., *tile.window)], weights


class StatisticsOfTiles:
    """Moments of layers, as they add up over tiles."""

    def __init__(self, layers: Sequence[str]) -> None:
        # Next to none instead of none: a deep layer may have no position that is visible at all.
        self.positions: Features = dict.fromkeys(layers, torch.tensor(1e-9))
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, features: Features, weights: Features | None) -> None:
        """Take in the features of a tile, each position by its weight."""
        for layer in self.positions:
            weight = None if weights is None else weights[layer]
            first, second = moment_sums(features[layer], weight)
            if layer in self._sums:
                before = self._sums[layer]
                first, second = before[0] + first, before[1] + second
            self._sums[layer] = first, second
            count = features[layer][0, 0].numel() if weight is None else weight.sum()
            self.positions[layer] = self.positions[layer].to(first.device) + count

    def found(self) -> Statistics:
        """Return the moments of all that was added."""
        return {
            layer: Moments.of_sums(first, second, self.positions[layer])
            for layer, (first, second) in self._sums.items()
        }


def style_statistics(
    lens: Lens, source: Source, size: Size, *, cache: TargetCache | None
) -> Statistics:
    """Return the moments of a style at a size (width, height) in each of the lens' layers."""

    def compute() -> Statistics:
        total = StatisticsOfTiles(lens.layers)
        with torch.no_grad():
            for tile, window, weights in lens.windows(source, size):
                total.add(lens.features(window, tile), weights)
        return total.found()

    if cache is None:
        return compute()
    network = lens.network
    view = (lens.pooling, lens.layers, lens.edge)
    return cache.get(
        (network.name, network.dtype, network.device, view, source.digest, size), compute
    )


def histogram_tops(statistics: Statistics) -> Features:
    """Return where the bins of each layer's histograms end, (N,), for a style with such moments."""
    return {
        layer: _HISTOGRAM_REACH * moments.second.diagonal().clamp_min(0).sqrt()
        for layer, moments in statistics.items()
        if layer in HISTOGRAM_LAYERS
    }


def style_histograms(lens: Lens, source: Source, size: Size, tops: Features) -> Features:
    """Return the style's histogram in each of the layers of `tops`, as shares (N, BINS)."""
    counts: Features = {}
    with torch.no_grad():
        for tile, window, weights in lens.windows(source, size):
            features = lens.features(window, tile)
            for layer, top in tops.items():
                weight = None if weights is None else weights[layer]
                counts[layer] = counts.get(layer, 0) + histograms.counts(
                    features[layer], top, weight
                )
    return {layer: histograms.shares(found) for layer, found in counts.items()}
