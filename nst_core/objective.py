"""What the optimisation minimises at one scale: Gatys et al. 2016, eq. 7, and total variation."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from nst_core import losses
from nst_core.params import StyleParams
from nst_core.pixels import preprocess
from nst_core.schedule import Scale, fit
from nst_core.vgg import Vgg


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


class Objective:
    """The loss of a picture of one size, against content features and style Gram matrices."""

    def __init__(
        self,
        content: Image.Image,
        styles: Sequence[Image.Image],
        params: StyleParams,
        *,
        network: Vgg,
        scale: Scale,
    ) -> None:
        self._params = params
        self._network = network
        self._content_layers, self._style_layers = weighted_layers(params)
        self._layers = tuple({**self._content_layers, **self._style_layers})
        with torch.no_grad():
            photo = self._features(content, (scale.width, scale.height), self._layers)
            self._contents = {layer: photo[layer] for layer in self._content_layers}
            self._grams = self._style_targets(styles, scale)
            self._energies = self._target_energies(photo)

    def __call__(self, pixels: Tensor) -> Terms:
        """Return the loss of normalised pixels (1, 3, H, W)."""
        params = self._params
        features = self._network.features(pixels, self._layers, params.pooling)
        published = params.loss == "gatys"
        content = self._published_content(features) if published else self._content(features)
        style = self._published_style(features) if published else self._style(features)
        return Terms(
            content=params.content_weight * content,
            style=params.style_weight * style,
            tv=params.tv_weight * losses.total_variation(pixels),
        )

    def _published_content(self, features: dict[str, Tensor]) -> Tensor:
        """Return eq. 1, summed over layers."""
        return _weighted(
            self._content_layers,
            lambda layer: losses.content_loss(features[layer], self._contents[layer]),
        )

    def _published_style(self, features: dict[str, Tensor]) -> Tensor:
        """Return eq. 5."""
        return _weighted(
            self._style_layers,
            lambda layer: losses.style_loss(losses.gram(features[layer]), self._grams[layer]),
        )

    def _content(self, features: dict[str, Tensor]) -> Tensor:
        """Return the distance to the photo's features, as a share of their energy."""
        return _weighted(
            self._content_layers,
            lambda layer: losses.relative_loss(
                features[layer], self._contents[layer], losses.energy(self._contents[layer])
            ),
        )

    def _style(self, features: dict[str, Tensor]) -> Tensor:
        """Return the distance to the styles' Gram matrices, as a share of energies."""
        return _weighted(
            self._style_layers,
            lambda layer: losses.relative_loss(
                losses.gram(features[layer]), self._grams[layer], self._energies[layer]
            ),
        )

    def _target_energies(self, photo: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what each layer's style distance is measured by: style and photo together.

        By the style's energy alone a faint style would weigh some ten times a strong one.
        """
        return {
            layer: losses.energy(gram, losses.gram(photo[layer]))
            for layer, gram in self._grams.items()
        }

    def _style_targets(self, styles: Sequence[Image.Image], scale: Scale) -> dict[str, Tensor]:
        """Return the styles' Gram matrices, blended; each style keeps its own aspect ratio."""
        grams: dict[str, Tensor] = {}
        if not self._style_layers:
            return grams
        for style, share in zip(styles, self._params.blend_for(len(styles)), strict=True):
            size = style_size(style.size, scale)
            found = self._features(style, size, self._style_layers)
            for layer, features in found.items():
                grams[layer] = grams.get(layer, 0) + share * losses.gram(features)
        return grams

    def _features(
        self, picture: Image.Image, size: tuple[int, int], layers: Iterable[str]
    ) -> dict[str, Tensor]:
        pixels = preprocess(picture, size).to(self._network.device)
        return self._network.features(pixels, layers, self._params.pooling)


def weighted_layers(params: StyleParams) -> tuple[dict[str, float], dict[str, float]]:
    """Return the layers of the content and the style loss; a loss without weight looks at none."""
    return (
        params.content_layers if params.content_weight else {},
        params.style_layers if params.style_weight else {},
    )


def style_size(style: tuple[int, int], scale: Scale) -> tuple[int, int]:
    """Return the size (width, height) at which a style is looked at, never stretched.

    Its long edge is the result's, so that strokes keep their size; but a square style beside a
    narrow strip has at most twice the strip's pixels, which memory estimates rely on.
    """
    width, height = style
    longest = max(scale.width, scale.height)
    roomy = math.sqrt(2 * scale.width * scale.height * max(style) / min(style))
    return fit(width, height, min(longest, round(roomy)))


def _weighted(weights: dict[str, float], term: Callable[[str], Tensor]) -> Tensor:
    """Return the sum of a term over layers, each by its weight; 0 without layers."""
    terms = [weight * term(layer) for layer, weight in weights.items()]
    return torch.stack(terms).sum() if terms else torch.zeros(())
