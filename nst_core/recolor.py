"""What becomes of the photo's colours.

Two ways, after Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer"
(arXiv:1606.05897): the style takes on the photo's colours before it is looked at (section 3, "color
histogram matching", which is a linear map), or it works on brightness alone and the photo's chroma
is put back (section 4, "luminance-only transfer").
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Samples = NDArray[np.float32]

#: Luma's share of R, G and B (ITU-R BT.601), as YIQ has it.
_LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)
#: Keeps a picture of one colour from dividing by nothing; in squared units of the 0–1 range.
_LEAST_VARIANCE = 1e-5


def match_colors(style: Image.Image, photo: Image.Image) -> Image.Image:
    """Return `style` with the mean and covariance of the photo's colours.

    Of all linear maps that do so, the one that moves colours least (Pitié & Kokaram 2007, "The
    linear Monge–Kantorovitch linear colour mapping", eq. 7). Transparent pixels have no say.
    """
    found, wanted = _Colors(style), _Colors(photo)
    root, unroot = _power(found.covariance, 0.5), _power(found.covariance, -0.5)
    turn = unroot @ _power(root @ wanted.covariance @ root, 0.5) @ unroot
    return _like(style, (_samples(style) - found.mean) @ turn.T + wanted.mean)


def luminance(picture: Image.Image) -> Image.Image:
    """Return the picture in shades of grey, RGB still."""
    return _like(picture, _grey(_samples(picture)))


def match_luminance(style: Image.Image, photo: Image.Image) -> Image.Image:
    """Return `style` in shades of grey, as bright and as contrasting as the photo on the whole."""
    grey, found, wanted = luminance(style), _Colors(luminance(style)), _Colors(luminance(photo))
    contrast = np.sqrt(wanted.covariance[0, 0] / found.covariance[0, 0])
    return _like(style, (_samples(grey) - found.mean) * contrast + wanted.mean)


def with_chroma(picture: Samples, photo: Image.Image) -> Samples:
    """Return (H, W, 3) in 0–1 with its own luminance and the chroma of a photo of its size."""
    colors = _samples(photo)
    kept: Samples = np.clip(_grey(picture) + colors - _grey(colors), 0, 1)
    return kept


class _Colors:
    """Mean (3,) and covariance (3, 3) of a picture's visible pixels."""

    def __init__(self, picture: Image.Image) -> None:
        pixels = _samples(picture).reshape(-1, 3).astype(np.float64)
        if picture.mode == "RGBA":
            pixels = pixels[np.asarray(picture.getchannel("A")).reshape(-1) > 0]
        self.mean = pixels.mean(axis=0)
        self.covariance = np.cov(pixels.T, bias=True) + _LEAST_VARIANCE * np.eye(3)


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    power: NDArray[np.float64] = (vectors * values**exponent) @ vectors.T
    return power


def _grey(samples: Samples) -> Samples:
    return np.repeat((samples @ _LUMA)[..., None], 3, axis=-1)


def _samples(picture: Image.Image) -> Samples:
    return np.asarray(picture.convert("RGB"), dtype=np.float32) / np.float32(255)


def _like(picture: Image.Image, samples: NDArray[Any]) -> Image.Image:
    """Return samples in 0–1 as a picture, with the alpha of another if that has any."""
    levels = (samples.clip(0, 1) * 255).round().astype(np.uint8)
    colored = Image.fromarray(levels)
    if picture.mode == "RGBA":
        colored.putalpha(picture.getchannel("A"))
    return colored
