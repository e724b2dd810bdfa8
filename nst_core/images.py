"""Pictures in and out: the bytes of a file to a checked `Picture`, and a picture to bytes.

Owns the limits of a file and the words in which one is refused. Formats are `headers`' matter,
pixels `color`'s. Knows no torch, no job and no network.
"""

from dataclasses import dataclass
from io import BytesIO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from nst_core.alpha import on_white
from nst_core.color import to_srgb
from nst_core.errors import (
    AnimatedImage,
    FileTooLarge,
    ImageTooLarge,
    ImageTooSmall,
    InvalidImage,
    UnsupportedFormat,
)
from nst_core.headers import Damaged, Header, read_header, sniff

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

_ACCEPTED = "JPEG, PNG, WebP, GIF, BMP or TIFF"
# The classes themselves, not `Image.open`: it tries other parsers and warns by global state.
_DECODERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
# Where in a file, and with which bytes, formats announce themselves that people do send.
_OTHERS = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyp", "a film"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"qoif", "QOI"),
)
_UPRIGHT = {  # by EXIF's orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Limits:
    """What a picture may be at most and at least; checked before its pixels are decoded.

    From 89 million pixels on Pillow has limits of its own, which hold as well.
    """

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_edge: int = 16_384
    min_edge: int = 16


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Picture:
    """A picture that was wholly decoded: upright sRGB without metadata.

    `image` is RGB, or RGBA with straight alpha when any pixel is transparent. `format` is that of
    the file: JPEG, PNG, WEBP, GIF, BMP or TIFF.
    """

    image: Image.Image
    format: str
    width: int
    height: int


def read_image(data: bytes, *, limits: Limits = DEFAULT_LIMITS, field: str = "image") -> Picture:
    """Decode the bytes of a file into an upright RGB or RGBA picture in sRGB.

    Raises:
        InvalidImage: the file is no picture, a damaged one, or wholly transparent.
        UnsupportedFormat: it is of a kind that is not taken.
        AnimatedImage: it has more than one frame or page.
        FileTooLarge, ImageTooLarge, ImageTooSmall: it is outside `limits`.
    """
    _check_file(data, limits, field)
    try:
        header = read_header(data)
    except Damaged as error:
        raise _damaged(field, header_of=sniff(data), reason=str(error)) from error
    _check_header(header, limits, field)
    try:
        image = _decode(header)
    except Exception as error:  # Pillow's parsers raise nearly any class on bad bytes
        raise _damaged(field, header_of=header.format, reason="it cannot be decoded") from error
    _check_visible(image, field)
    return Picture(image, header.format, image.width, image.height)


def encode(image: Image.Image, format: str, quality: int) -> bytes:  # noqa: A002 - the word of `StyleParams`
    """Return `image` as a png, jpeg or webp file without metadata; png has no quality.

    Alpha is kept, but for jpeg, which has none: what is transparent becomes white.
    """
    keeps_alpha = format != "jpeg" and "A" in image.getbands()
    bare = image.convert("RGBA") if keeps_alpha else on_white(image)
    bare.info = {}  # Pillow would write profile and comment from here
    options: dict[str, int] = {} if format == "png" else {"quality": quality}
    if format == "jpeg" and quality >= 90:
        options["subsampling"] = 0  # halved colour is seen on brush strokes
    file = BytesIO()
    bare.save(file, format, **options)
    return file.getvalue()


def _check_file(data: bytes, limits: Limits, field: str) -> None:
    if not data:
        raise InvalidImage(f"{field} is empty", hint=f"Send a {_ACCEPTED} file.")
    if len(data) > limits.max_bytes:
        raise FileTooLarge(
            f"{field} has {len(data):,} bytes; at most {limits.max_bytes:,} are taken",
            hint="Make the picture smaller, or save it as JPEG.",
        )
    if sniff(data):
        return
    if name := _name_other(data):
        raise UnsupportedFormat(
            f"{field} is {name}, which is not taken", hint=f"Convert it to {_ACCEPTED}."
        )
    raise InvalidImage(f"{field} is not a picture", hint=f"Send a {_ACCEPTED} file.")


def _name_other(data: bytes) -> str | None:
    for offset, magic, name in _OTHERS:
        if data.startswith(magic, offset):
            return name
    head = data[:1024].lstrip()
    if head.startswith((b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg")) and b"<svg" in head:
        return "SVG"
    return None


def _check_header(header: Header, limits: Limits, field: str) -> None:
    width, height = header.width, header.height
    if max(width, height) > limits.max_edge or width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"{field} is {width}×{height}; at most {limits.max_edge} pixels an edge "
            f"and {limits.max_pixels:,} together are taken",
            hint="Make the picture smaller.",
        )
    if min(width, height) < limits.min_edge:
        raise ImageTooSmall(
            f"{field} is {width}×{height}; at least {limits.min_edge} pixels an edge are needed",
            hint="Send a larger picture.",
        )
    if header.frames > 1:
        noun = "pages" if header.format == "TIFF" else "frames"
        raise AnimatedImage(
            f"{field} has {header.frames} {noun}; one is taken",
            hint=f"Save one of its {noun} as a picture of its own.",
        )


def _check_visible(image: Image.Image, field: str) -> None:
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        raise InvalidImage(
            f"{field} is wholly transparent: there is nothing to see on it",
            hint="Send a picture with visible pixels.",
        )


def _damaged(field: str, *, header_of: str | None, reason: str) -> InvalidImage:
    return InvalidImage(
        f"{field} is a damaged {header_of} file: {reason}",
        hint="Open it in an image editor, save it anew and send that, or send it again "
        "if it was cut short on its way.",
    )


def _decode(header: Header) -> Image.Image:
    image = to_srgb(_load(header), header.profile)
    if header.orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[header.orientation])
    # A plain image, which holds on to neither the file nor what the decoder noted.
    bare = image.copy() if isinstance(image, ImageFile.ImageFile) else image
    bare.info = {}
    return bare


def _load(header: Header) -> Image.Image:
    file = _DECODERS[header.format](BytesIO(header.body))
    if file.size != (header.width, header.height):
        raise Damaged("two headers differ")  # the limits were checked for another size
    file.load()
    return file
