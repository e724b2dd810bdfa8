"""Transparency: which colours lie beneath it, and how a picture without it looks.

Knows no file format. Alpha is straight: colours are not multiplied with it.
"""

from typing import cast

from PIL import Image

_WHITE = (255, 255, 255)
#: Fainter pixels are often rounding errors of a program that kept colour multiplied with alpha.
_FAINT = 16


def on_white(image: Image.Image) -> Image.Image:
    """Return a picture as RGB, laid on white where it is transparent.

    White, as paper is and as most viewers show it; black would put a dark fringe round cut-outs.
    """
    if "A" not in image.getbands():
        return image.convert("RGB")
    sheet = Image.new("RGB", image.size, _WHITE)
    sheet.paste(image, mask=image.getchannel("A"))
    return sheet


def with_alpha(color: Image.Image, alpha: Image.Image) -> Image.Image:
    """Return RGB and L of the same size as RGBA, or as RGB where all of it is opaque.

    Beneath what is transparent lies the colour of the nearest visible pixels, for files have any
    there, which resizing and the network would see round every cut-out.
    """
    faintest, strongest = cast("tuple[int, int]", alpha.getextrema())
    if faintest == 255:
        return color
    least = max(1, min(_FAINT, strongest))  # 0 is transparent, even where all of it is
    both = _carried_outwards(color, alpha.point(lambda value: 255 if value >= least else 0))
    both.putalpha(alpha)
    return both


def _carried_outwards(color: Image.Image, known: Image.Image) -> Image.Image:
    """Fill what is not known (255 or 0) from the picture at half the size, filled likewise."""
    if known.getextrema() in ((255, 255), (0, 0)):
        return color.copy()
    holed = color.copy()
    holed.putalpha(known)
    half = holed.reduce(2)  # the mean of what is known in each square
    beneath = _carried_outwards(half.convert("RGB"), half.getchannel("A").point(_any))
    return Image.composite(color, beneath.resize(color.size, Image.Resampling.BILINEAR), known)


def _any(value: int) -> int:
    return 255 if value else 0
