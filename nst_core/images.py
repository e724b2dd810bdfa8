"""Pictures in and out: bytes of a file to a checked `Picture`, and a picture to bytes.

Owns which formats are taken, the limits of a file, and what becomes of orientation, colour
profiles, transparency and depth. Knows no torch, no job and no network.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from nst_core.errors import (
    AnimatedImage,
    FileTooLarge,
    ImageTooLarge,
    ImageTooSmall,
    InvalidImage,
    UnsupportedFormat,
)

#: Media type of each format, by its name in lower case.
MEDIA_TYPES = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
}
#: File name suffix of each format, by its name in lower case.
SUFFIXES = {
    "jpeg": ".jpg",
    "png": ".png",
    "webp": ".webp",
    "gif": ".gif",
    "bmp": ".bmp",
    "tiff": ".tiff",
}

_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}


@dataclass(frozen=True)
class Limits:
    """What a picture may be at most and at least; checked before its pixels are decoded."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_edge: int = 16_384
    min_edge: int = 16


@dataclass(frozen=True)
class Picture:
    """A picture that was wholly decoded: upright sRGB without alpha and without metadata."""

    image: Image.Image
    format: str
    width: int
    height: int


def read_image(data: bytes, *, limits: Limits | None = None, field: str = "image") -> Picture:
    """Decode the bytes of a file into an upright RGB picture in sRGB.

    Raises:
        InvalidImage: the file is no picture, is damaged, or is outside `limits`; a subclass
            says which.
    """
    limits = limits or Limits()
    if len(data) > limits.max_bytes:
        raise FileTooLarge(
            f"{field} has {len(data)} bytes; {limits.max_bytes} are allowed",
            hint="Send a smaller file.",
        )
    try:
        file = Image.open(BytesIO(data), formats=list(_READERS))
    except Exception as error:  # noqa: BLE001 - Pillow's parsers raise nearly anything on bad bytes
        raise InvalidImage(f"{field} is not a picture") from error
    width, height = file.size
    if width * height > limits.max_pixels or max(file.size) > limits.max_edge:
        raise ImageTooLarge(f"{field} is too large")
    if min(file.size) < limits.min_edge:
        raise ImageTooSmall(f"{field} is too small")
    if getattr(file, "is_animated", False) and file.format != "MPO":
        raise AnimatedImage(f"{field} is animated")
    try:
        image = ImageOps.exif_transpose(file.convert("RGB"))
    except Exception as error:  # noqa: BLE001 - Pillow's parsers raise nearly anything on bad bytes
        raise InvalidImage(f"{field} is damaged") from error
    image.info = {}
    return Picture(image, file.format or "", image.width, image.height)


def encode(image: Image.Image, format: str, quality: int) -> bytes:  # noqa: A002 - the word of StyleParams
    """Return `image` as a file without metadata; `quality` is for jpeg and webp."""
    bare = image.convert("RGB")
    bare.info = {}
    out = BytesIO()
    bare.save(out, format, quality=quality)
    return out.getvalue()


_UNUSED = UnsupportedFormat
