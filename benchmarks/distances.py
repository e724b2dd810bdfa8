"""The judge: how far a finished picture is from its photo and from its style.

One ruler for every engine, whatever it minimised: plain VGG19 with max pooling and a border of
zeros, as it was trained, in float32; the style at the same long edge as the picture.
"""

from dataclasses import astuple, dataclass
from functools import cached_property
from statistics import fmean
from typing import Self

import torch
from PIL import Image
from torch import Tensor

from benchmarks.network import Convolutions, features
from benchmarks.pictures import fitted, to_unit
from nst_core.pixels import normalise

CONTENT_LAYER = "relu4_2"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@dataclass(frozen=True)
class Distances:
    """Three distances, each 0 for equality and of the order of 1 for nothing in common.

    `content` is the mean squared error of relu4_2 as a share of the photo's mean square; `gram` the
    relative Frobenius distance of Gram matrices; `wasserstein` the squared Bures–Wasserstein
    distance of mean and covariance over the style's energy; both are means over five layers.
    """

    content: float
    gram: float
    wasserstein: float

    def within(self, other: Self) -> bool:
        """Return whether no distance is larger than the other's."""
        return self.excess(other) <= 1

    def excess(self, other: Self) -> float:
        """Return the largest of the three distances, each as a multiple of the other's."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return float(max(mine / its for mine, its in pairs))

    def __str__(self) -> str:
        return f"content {self.content:.4f}, Gram {self.gram:.4f}, W2 {self.wasserstein:.4f}"


class Ruler:
    """Measures pictures of one size against a photo and a style."""

    def __init__(
        self, content: Image.Image, style: Image.Image, convs: Convolutions, *, long_edge: int
    ) -> None:
        self._convs = convs
        self._size = fitted(content.size, long_edge)
        self._photo = self._features(content, (CONTENT_LAYER,))[CONTENT_LAYER]
        found = self._features(style, STYLE_LAYERS, long_edge=long_edge)
        self._styles = {layer: Statistics(found[layer]) for layer in STYLE_LAYERS}

    def measure(self, picture: Image.Image) -> Distances:
        """Return the distances of a picture; one of another size is resized first."""
        found = self._features(picture, (CONTENT_LAYER, *STYLE_LAYERS))
        error = (found[CONTENT_LAYER] - self._photo).square().mean()
        statistics = {layer: Statistics(found[layer]) for layer in STYLE_LAYERS}
        pairs = [(statistics[layer], self._styles[layer]) for layer in STYLE_LAYERS]
        return Distances(
            content=(error / self._photo.square().mean()).item(),
            gram=fmean(gram_distance(ours, style) for ours, style in pairs),
            wasserstein=fmean(wasserstein_distance(ours, style) for ours, style in pairs),
        )

    def _features(
        self, picture: Image.Image, layers: tuple[str, ...], *, long_edge: int | None = None
    ) -> dict[str, Tensor]:
        size = self._size if long_edge is None else fitted(picture.size, long_edge)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        device = next(iter(self._convs.values()))[0].device
        with torch.no_grad():
            return features(normalise(to_unit(picture, max(size)).to(device)), self._convs, layers)


class Statistics:
    """Gram matrix, mean and covariance of features (1, C, H, W), in float64."""

    def __init__(self, found: Tensor) -> None:
        maps = found.flatten(2).squeeze(0).double()
        self.gram = maps @ maps.T / maps.shape[1]
        self.mean = maps.mean(dim=1)
        self.covariance = self.gram - torch.outer(self.mean, self.mean)

    @cached_property
    def root(self) -> Tensor:
        """The square root of the covariance."""
        return square_root(self.covariance)


def gram_distance(ours: Statistics, style: Statistics) -> float:
    """Return the Frobenius distance of the Gram matrices as a share of the style's norm."""
    return float((ours.gram - style.gram).norm() / style.gram.norm())


def wasserstein_distance(ours: Statistics, style: Statistics) -> float:
    """Return |m₁ − m₂|² + tr(C₁ + C₂ − 2 (C₂^½ C₁ C₂^½)^½), over the style's mean square."""
    apart = (ours.mean - style.mean).square().sum()
    shared = _eigenvalues(style.root @ ours.covariance @ style.root).sqrt().sum()
    spread = ours.covariance.trace() + style.covariance.trace() - 2 * shared
    return float((apart + spread) / style.gram.trace())


def square_root(matrix: Tensor) -> Tensor:
    """Return the root of a symmetric matrix (C, C) whose eigenvalues are at least 0 but for noise.

    Exact, by eigenvalues: the judge shares no approximation with those whom it judges.
    """
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _eigenvalues(matrix: Tensor) -> Tensor:
    values: Tensor = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    return values.clamp_min(0)
