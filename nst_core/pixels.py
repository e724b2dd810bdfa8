"""Pictures to tensors and back: the first and the last stage of the method.

The optimisation works on normalised pixels: RGB in 0–1, less ImageNet's mean, divided by its
standard deviation (torchvision's convention for VGG19), so that a photograph's variance is about 1.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def preprocess(picture: Image.Image, size: tuple[int, int] | None = None) -> Tensor:
    """Return a picture as normalised pixels.

    Args:
        picture: RGB.
        size: width and height to resize to, with Lanczos' filter; None keeps the picture's own.

    Returns:
        (1, 3, H, W), float32, on the CPU.
    """
    if size is not None and size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    return normalise(pixels.unsqueeze(0).float() / 255)


def read_mask(mask: Image.Image, size: tuple[int, int]) -> Tensor:
    """Return a grey picture (L), resized to width and height, as (H, W) in 0–1 on the CPU."""
    return torch.from_numpy(np.array(mask.resize(size, Image.Resampling.BILINEAR))).float() / 255


def deprocess(pixels: Tensor) -> NDArray[np.float32]:
    """Return normalised pixels (1, 3, H, W) as samples (H, W, 3) in 0–1; what lies outside is cut.

    The samples are a copy, which later steps do not touch.
    """
    unit = denormalise(pixels.detach().float().cpu()).clamp(0, 1)
    return unit.squeeze(0).permute(1, 2, 0).contiguous().numpy()


def normalise(unit: Tensor) -> Tensor:
    """Return (1, 3, H, W) in 0–1 as normalised pixels."""
    return (unit - _per_channel(MEAN, unit)) / _per_channel(STD, unit)


def denormalise(pixels: Tensor) -> Tensor:
    """Return normalised pixels (1, 3, H, W) in the range 0–1."""
    return pixels * _per_channel(STD, pixels) + _per_channel(MEAN, pixels)


def clip(pixels: Tensor) -> None:
    """Bring normalised pixels (1, 3, H, W) back, in place, to what a picture can show."""
    for channel, (mean, deviation) in enumerate(zip(MEAN, STD, strict=True)):
        pixels[:, channel].clamp_(-mean / deviation, (1 - mean) / deviation)


def _per_channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)
