"""From the optimisation's pixels to the picture that people see: the last stage of the method."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nst_core.params import StyleParams
from nst_core.pixels import deprocess
from nst_core.recolor import with_chroma
from nst_core.sources import Sources

_Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Rendering:
    """What becomes of pixels on their way out: colours that are to stay, transparency."""

    sources: Sources
    params: StyleParams

    def picture(self, pixels: Tensor) -> Image.Image:
        """Return normalised pixels as RGB, or RGBA when the photo has transparent parts."""
        return Image.fromarray(np.round(self._samples(pixels) * 255).astype(np.uint8))

    def samples(self, pixels: Tensor) -> NDArray[np.uint16]:
        """Return the same as (H, W, 3) or (H, W, 4) with 16 bits a channel."""
        return np.round(self._samples(pixels) * 65535).astype(np.uint16)

    def _samples(self, pixels: Tensor) -> _Samples:
        colors = deprocess(pixels)
        height, width = colors.shape[:2]
        photo, alpha = self.sources.photo.picture, self.sources.photo.alpha
        if self.params.preserve_color == "luminance":
            colors = with_chroma(colors, photo.resize((width, height), Image.Resampling.LANCZOS))
        if alpha is None:
            return colors
        visible = np.asarray(alpha.resize((width, height), Image.Resampling.LANCZOS)) / np.float32(
            255
        )
        return np.concatenate((colors, visible[..., None]), axis=2)
