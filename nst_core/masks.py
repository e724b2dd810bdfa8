"""Masks: where on the content image a style applies, white fully, black not, grey in part.

Owns what a mask may be and in which words one is refused; files are `images`' matter.
"""

from dataclasses import replace

from PIL import Image, ImageChops

from nst_core.errors import InvalidMask
from nst_core.images import DEFAULT_LIMITS, Limits, Picture, read_image

#: By how much the aspect ratios of mask and content image may differ.
_TOLERANCE = 0.02


def read_mask(data: bytes, *, limits: Limits = DEFAULT_LIMITS, field: str = "mask") -> Picture:
    """Decode the bytes of a file into a mask: `image` is L, luminance times alpha.

    Raises:
        InvalidImage: as `read_image` does.
        InvalidMask: it is black everywhere.
    """
    picture = read_image(data, limits=limits, field=field)
    mask = _luminance(picture.image)
    if mask.getextrema() == (0, 0):
        raise InvalidMask(
            f"{field} is black everywhere: its style would apply nowhere",
            hint="Paint white where the style is to apply, or leave out both.",
        )
    return replace(picture, image=mask)


def check_mask_shape(
    mask: tuple[int, int], content: tuple[int, int], *, field: str = "mask"
) -> None:
    """Check that a mask of one (width, height) can be laid on a content image of another.

    Raises:
        InvalidMask: their aspect ratios differ by more than 2 %, and by more than rounding.
    """
    width, height = mask
    fitting = height * content[0] / content[1]
    if abs(width - fitting) > max(1.0, _TOLERANCE * fitting):
        raise InvalidMask(
            f"{field} is {width}×{height}, of another shape than the content image, "
            f"which is {content[0]}×{content[1]}",
            hint="Make the mask out of the content image itself; its size may differ.",
        )


def check_mask_count(masks: int, styles: int) -> None:
    """Check that there are as many masks as style pictures, or none.

    Raises:
        InvalidMask: there are more or fewer.
    """
    if masks not in (0, styles):
        raise InvalidMask(
            f"there are {masks} masks for {styles} styles",
            hint="Give one mask for each style picture, in their order, or none at all.",
        )


def _luminance(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands():
        return image.convert("L")
    return ImageChops.multiply(image.convert("L"), image.getchannel("A"))
