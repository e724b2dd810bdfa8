"""Pictures to tensors and back, for what the engine is measured against."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def fitted(size: tuple[int, int], long_edge: int) -> tuple[int, int]:
    """Return width and height with the same aspect ratio and this long edge."""
    factor = long_edge / max(size)
    return round(size[0] * factor), round(size[1] * factor)


def to_unit(picture: Image.Image, long_edge: int) -> Tensor:
    """Return a picture at another size as (1, 3, H, W) in 0–1, float32, on the CPU."""
    resized = picture.resize(fitted(picture.size, long_edge), Image.Resampling.BICUBIC)
    levels = torch.from_numpy(np.array(resized.convert("RGB")))
    return levels.permute(2, 0, 1).unsqueeze(0).float().div(255).contiguous()


def to_picture(unit: Tensor) -> Image.Image:
    """Return (1, 3, H, W) as an RGB picture; what lies outside 0–1 is clipped."""
    levels = (unit.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(levels.squeeze(0).permute(1, 2, 0).contiguous().numpy())
