"""What the optimisation minimises at one scale: Gatys et al. 2016, eq. 7, and total variation."""

from collections.abc import Sequence
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
        self._layers = tuple({**params.content_layers, **params.style_layers})
        with torch.no_grad():
            self._contents = self._content_targets(content, scale)
            self._grams = self._style_targets(styles, scale)

    def __call__(self, pixels: Tensor) -> Terms:
        """Return the loss of normalised pixels (1, 3, H, W)."""
        params = self._params
        features = self._network.features(pixels, self._layers, params.pooling)
        content = self._content_distance(features)
        style = self._style_distance(features)
        return Terms(
            content=params.content_weight * content,
            style=params.style_weight * style,
            tv=params.tv_weight * losses.total_variation(pixels),
        )

    def _content_distance(self, features: dict[str, Tensor]) -> Tensor:
        distance = losses.content_loss if self._params.loss == "gatys" else losses.relative_loss
        return torch.stack(
            [
                weight * distance(features[layer], self._contents[layer])
                for layer, weight in self._params.content_layers.items()
            ]
        ).sum()

    def _style_distance(self, features: dict[str, Tensor]) -> Tensor:
        """Return eq. 5."""
        distance = losses.style_loss if self._params.loss == "gatys" else losses.relative_loss
        return torch.stack(
            [
                weight * distance(losses.gram(features[layer]), self._grams[layer])
                for layer, weight in self._params.style_layers.items()
            ]
        ).sum()

    def _content_targets(self, content: Image.Image, scale: Scale) -> dict[str, Tensor]:
        return self._features(content, (scale.width, scale.height), self._params.content_layers)

    def _style_targets(self, styles: Sequence[Image.Image], scale: Scale) -> dict[str, Tensor]:
        """Return the styles' Gram matrices, blended; each style keeps its own aspect ratio."""
        grams: dict[str, Tensor] = {}
        for style, share in zip(styles, self._params.blend_for(len(styles)), strict=True):
            size = fit(*style.size, max(scale.width, scale.height))
            found = self._features(style, size, self._params.style_layers)
            for layer, features in found.items():
                grams[layer] = grams.get(layer, 0) + share * losses.gram(features)
        return grams

    def _features(
        self, picture: Image.Image, size: tuple[int, int], layers: dict[str, float]
    ) -> dict[str, Tensor]:
        pixels = preprocess(picture, size).to(self._network.device)
        return self._network.features(pixels, layers, self._params.pooling)
