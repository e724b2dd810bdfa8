"""Any mode of pixels to 8-bit sRGB, with alpha where there is any.

Owns what becomes of colour profiles, palettes and depth. Knows no file format.
"""

import math
from io import BytesIO
from typing import cast

from PIL import Image, ImageCms

from nst_core.alpha import with_alpha

_NARROW_16_BIT = [round(value / 257) for value in range(65536)]
_PLAIN_MODE = {"1": "L", "P": "RGB", "YCbCr": "RGB", "LAB": "RGB", "RGBX": "RGB"}
_ALPHA_MODE = {
    "1": "LA",
    "L": "LA",
    "LA": "LA",
    "La": "LA",
    "P": "RGBA",
    "PA": "RGBA",
    "RGB": "RGBA",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
}


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return `image` in sRGB: as RGB, or as RGBA when any pixel is transparent.

    Raises:
        ValueError: the pixels are no finite numbers.
    """
    color, alpha = _split(image)
    rgb = _from_profile(color, profile) or color.convert("RGB")
    return rgb if alpha is None else with_alpha(rgb, alpha)


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return 8-bit colour (L, RGB or CMYK) and, if there is any, alpha (L)."""
    if image.mode.startswith("I;16"):
        return _narrow(image)
    if image.mode in ("I", "F"):
        return _stretch(image), None
    if _has_alpha(image):
        target = _ALPHA_MODE[image.mode]
        both = image if image.mode == target else image.convert(target)  # `convert` copies
        return both.convert(both.mode[:-1]), both.getchannel("A")
    if image.mode in _PLAIN_MODE:
        return image.convert(_PLAIN_MODE[image.mode]), None
    return image, None


def _has_alpha(image: Image.Image) -> bool:
    key = image.info.get("transparency")
    if image.mode == "RGB" and key and max(key) > 255:
        # Pillow narrows pixels of 16 bits, but not the colour that stands for transparent.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return image.mode in _ALPHA_MODE and (key is not None or image.mode[-1] in "Aa")


def _narrow(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Scale 16-bit grey to 8 bits; Pillow's own conversion clips everything above 255."""
    wide = image.convert("I")
    key = image.info.get("transparency")
    alpha = None
    if isinstance(key, int):
        alpha = wide.point([0 if value == key else 255 for value in range(65536)], "L")
    return wide.point(_NARROW_16_BIT, "L"), alpha


def _stretch(image: Image.Image) -> Image.Image:
    """Scale numbers without a stated range from the usual range that holds them."""
    low, high = cast("tuple[float, float]", image.getextrema())  # one pair, for one band
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the pixels are no finite numbers")
    usual = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    bottom, top = next(((0.0, end) for end in usual if low >= 0 and high <= end), (low, high))
    scale = 255 / (top - bottom) if top > bottom else 0.0
    # Half a unit more, for the conversion to 8 bits cuts the fraction off.
    offset = 0.5 - bottom * scale
    return image.convert("F").point(lambda value: value * scale + offset).convert("L")


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return `image` in sRGB; None without a profile that fits it, for profiles are dispensable."""
    if not profile:
        return None
    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None
