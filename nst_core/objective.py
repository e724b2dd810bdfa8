"""What the optimisation minimises at one scale: Gatys et al. 2016, eq. 7, and total variation.

The gradient is exact whether the picture is taken whole or in tiles. What the losses look at are
sums over positions: they are added up tile by tile, without gradients; the loss gives the gradient
of each sum; and every tile then carries these back to its pixels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nst_core import histograms, losses
from nst_core.estimate import WHOLE
from nst_core.goals import StyleGoal
from nst_core.moments import Moments, moment_sums
from nst_core.params import StyleParams
from nst_core.regions import Region, make_regions
from nst_core.schedule import Scale
from nst_core.sources import Sources
from nst_core.targets import Features, Lens, StatisticsOfTiles, TargetCache
from nst_core.tiles import Tile
from nst_core.vgg import Vgg

#: What is summed (content, first, second, histogram), in which region, in which layer.
_Key = tuple[str, int, str]


@dataclass(frozen=True)
class Terms:
    """The weighted terms of the loss, each a scalar tensor."""

    content: Tensor
    style: Tensor
    tv: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum, eq. 7."""
        return self.content + self.style + self.tv


@dataclass(frozen=True)
class _Piece:
    """A tile with the photo's features there and each region's weights, None for all alike."""

    tile: Tile
    contents: Features
    weights: tuple[Features | None, ...]


class Objective:
    """The loss of a picture of one size and its gradient."""

    def __init__(
        self,
        sources: Sources,
        params: StyleParams,
        *,
        network: Vgg,
        scale: Scale,
        tile_edge: int = WHOLE,
        cache: TargetCache | None = None,
    ) -> None:
        self._params = params
        self._published = params.loss == "gatys"
        self._content_layers, self._style_layers = weighted_layers(params)
        layers = tuple({**self._content_layers, **self._style_layers})
        self._lens = Lens(network, params.pooling, layers, tile_edge)
        with torch.no_grad():
            regions = self._make_regions(sources, scale, cache)
            self._pieces, photos = self._look_at_photo(sources, scale, regions)
            self._goals = [
                StyleGoal(region, photo.found(), self._style_layers, published=self._published)
                for region, photo in zip(regions, photos, strict=True)
            ]
            self._energies = {
                layer: losses.energy(piece.contents[layer] for piece in self._pieces)
                for layer in self._content_layers
            }
        self._positions = [photo.positions for photo in photos]

    @property
    def tiles(self) -> int:
        """How many tiles the picture is taken in; 1 is the whole."""
        return len(self._pieces)

    def evaluate(self, pixels: Tensor) -> Terms:
        """Return the loss of normalised pixels (1, 3, H, W), and leave its gradient in `grad`."""
        pixels.grad = None
        if self.tiles > 1:
            return self._evaluate_in_tiles(pixels)
        piece = self._pieces[0]
        features = self._lens.features(pixels, piece.tile)
        tables = self._tables([self._counts(piece, features)])
        content, style = self._terms(self._sums(piece, features, tables))
        del features  # so that each layer's go as soon as the backward pass has used them
        _backward(content + style)
        return self._with_variation(pixels, content, style)

    def _evaluate_in_tiles(self, pixels: Tensor) -> Terms:
        leaves, tables = self._add_up(pixels.detach())
        content, style = self._terms(leaves)
        _backward(content + style)
        histogram = torch.zeros_like(style)
        for piece in self._pieces:
            window = pixels.detach()[(..., *piece.tile.window)].requires_grad_()
            parts = self._sums(piece, self._lens.features(window, piece.tile), tables)
            slopes = [_gradient(leaves[key]) for key in parts]
            torch.autograd.backward(list(parts.values()), slopes)
            _gradient(pixels)[(..., *piece.tile.window)].add_(_gradient(window))
            for key, slope in zip(parts, slopes, strict=True):
                if key[0] == "histogram":
                    histogram += slope * parts[key].detach()
        return self._with_variation(pixels, content, style + histogram)

    def _with_variation(self, pixels: Tensor, content: Tensor, style: Tensor) -> Terms:
        """Return all terms, and add the gradient of total variation to that of the others."""
        weight = self._params.tv_weight
        variation, gradient = losses.total_variation(pixels.detach())
        _gradient(pixels).add_(gradient, alpha=weight)
        return Terms(content.detach(), style.detach(), weight * variation)

    def _add_up(self, pixels: Tensor) -> tuple[dict[_Key, Tensor], list[Features]]:
        """Return the sums of the whole picture, as leaves of a graph, and the histogram tables.

        The histograms' distances need the tables, which are known when all tiles have been seen;
        they enter the loss linearly, so 0 gives the right gradient.
        """
        totals: dict[_Key, Tensor] = {}
        counts: list[list[Features]] = []
        with torch.no_grad():
            for piece in self._pieces:
                features = self._lens.features(pixels[(..., *piece.tile.window)], piece.tile)
                counts.append(self._counts(piece, features))
                for key, value in self._sums(piece, features, []).items():
                    totals[key] = totals[key] + value if key in totals else value
        tables = self._tables(counts)
        for index, table in enumerate(tables):
            for layer in table:
                totals["histogram", index, layer] = pixels.new_zeros(())
        return {key: value.requires_grad_() for key, value in totals.items()}, tables

    def _sums(
        self, piece: _Piece, features: Features, tables: list[Features]
    ) -> dict[_Key, Tensor]:
        """Return all that the losses need of a tile, in a form that adds up over tiles."""
        sums: dict[_Key, Tensor] = {
            ("content", 0, layer): losses.squared_distance(features[layer], contents)
            for layer, contents in piece.contents.items()
        }
        for index, weights in enumerate(piece.weights):
            for layer in self._style_layers:
                weight = _of(weights, layer)
                first, second = moment_sums(features[layer], weight)
                sums["first", index, layer], sums["second", index, layer] = first, second
        for index, table in enumerate(tables):
            for layer, wanted in table.items():
                top = self._goals[index].region.tops[layer]
                weights = piece.weights[index]
                sums["histogram", index, layer] = histograms.distance(
                    features[layer], wanted, top, _of(weights, layer)
                )
        return sums

    def _terms(self, sums: Mapping[_Key, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the weighted content and style terms."""
        params = self._params
        zero = torch.zeros((), device=self._lens.network.device)
        style, histogram = zero, zero
        for index, goal in enumerate(self._goals):
            positions = self._positions[index]
            found = {
                layer: Moments.of_sums(
                    sums["first", index, layer], sums["second", index, layer], positions[layer]
                )
                for layer in self._style_layers
            }
            style = style + goal.distance(found)
            squares = {
                layer: sums["histogram", index, layer] / positions[layer]
                for layer in goal.region.tops
            }
            histogram = histogram + goal.histogram_distance(squares)
        return (
            params.content_weight * self._content(sums, zero),
            params.style_weight * style + params.histogram_weight * histogram,
        )

    def _content(self, sums: Mapping[_Key, Tensor], zero: Tensor) -> Tensor:
        """Return the distance to the photo's features: a share of their energy, or eq. 1."""
        total = zero
        for layer, weight in self._content_layers.items():
            unit = 2.0 if self._published else self._energies[layer]
            total = total + weight * sums["content", 0, layer] / unit
        return total

    def _counts(self, piece: _Piece, features: Features) -> list[Features]:
        """Return each region's histograms of a tile, by layer."""
        return [
            {
                layer: histograms.counts(features[layer].detach(), top, _of(weights, layer))
                for layer, top in goal.region.tops.items()
            }
            for goal, weights in zip(self._goals, piece.weights, strict=True)
        ]

    def _tables(self, counts: list[list[Features]]) -> list[Features]:
        """Return each region's tables from the counts of every tile."""
        return [
            goal.histogram_tables(_added(tile[index] for tile in counts))
            for index, goal in enumerate(self._goals)
        ]

    def _make_regions(
        self, sources: Sources, scale: Scale, cache: TargetCache | None
    ) -> list[Region]:
        if not self._style_layers:
            return []
        return make_regions(
            sources,
            self._params,
            lens=replace(self._lens, layers=tuple(self._style_layers)),
            scale=scale,
            cache=cache,
        )

    def _look_at_photo(
        self, sources: Sources, scale: Scale, regions: list[Region]
    ) -> tuple[list[_Piece], list[StatisticsOfTiles]]:
        """Return the photo's features by tile, and its statistics in each region."""
        pieces = []
        photos = [StatisticsOfTiles(tuple(self._style_layers)) for _ in regions]
        for tile, window, _ in self._lens.windows(sources.content, (scale.width, scale.height)):
            features = self._lens.features(window, tile)
            weights = tuple(
                None if region.visible is None else self._lens.weights(region.visible, tile)
                for region in regions
            )
            for photo, weight in zip(photos, weights, strict=True):
                photo.add(features, weight)
            contents = {layer: features[layer].clone() for layer in self._content_layers}
            pieces.append(_Piece(tile, contents, weights))
        return pieces, photos


def weighted_layers(params: StyleParams) -> tuple[dict[str, float], dict[str, float]]:
    """Return the layers of the content and the style loss; a loss without weight looks at none."""
    return (
        params.content_layers if params.content_weight else {},
        params.style_layers if params.style_weight else {},
    )


def _of(weights: Features | None, layer: str) -> Tensor | None:
    return None if weights is None else weights[layer]


def _added(parts: Iterable[Features]) -> Features:
    total: Features = {}
    for part in parts:
        for layer, value in part.items():
            total[layer] = total[layer] + value if layer in total else value
    return total


def _backward(total: Tensor) -> None:
    total.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _gradient(tensor: Tensor) -> Tensor:
    """Return the gradient that a backward pass has left, or zeros where it left none."""
    if tensor.grad is None:
        tensor.grad = torch.zeros_like(tensor)
    return tensor.grad
