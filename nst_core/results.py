"""The file of the final picture, in the format and depth that the parameters ask for."""

from nst_core import images
from nst_core.params import StyleParams
from nst_core.png16 import encode_png16
from nst_core.progress import Progress


def encode_result(progress: Progress, params: StyleParams) -> bytes:
    """Return the picture of the last step as a file."""
    if params.bit_depth == 16:
        return encode_png16(progress.samples())
    return images.encode(progress.picture(), params.format, params.quality)
