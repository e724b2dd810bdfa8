"""Picture files for tests: good ones, and ones made to mislead."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from nst_core import errors
from nst_core.images import read_image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
ROWS = (b"\0" + bytes(16 * 3)) * 16


def dice(seed):
    return random.Random(seed)  # noqa: S311 - to be repeatable, not secret


def scene(width=48, height=32, mode="RGB"):
    """A picture with a gradient and noise, so that its file is more than its header."""
    noise = dice(7)
    image = Image.new("RGB", (width, height))
    image.putdata(
        [
            (x * 5 % 256, y * 7 % 256, noise.randrange(256))
            for y in range(height)
            for x in range(width)
        ]
    )
    return image.convert(mode)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width, height, *, bits=8, color=2, rows=b"", extra=()):
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, content) for kind, content in chunks)


def tiff(width, height, *, bits=8, extra=(), pixels=b"", following=0):
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, len(pixels)),
    ]
    replaced = {tag for tag, *_ in extra}
    entries = sorted([*(entry for entry in entries if entry[0] not in replaced), *extra])
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    place = 8 + len(pixels)
    return b"II*\0" + struct.pack("<I", place) + pixels + directory + struct.pack("<I", following)


def patched(data, offset, layout, *values):
    return data[:offset] + struct.pack(layout, *values) + data[offset + struct.calcsize(layout) :]


def code_of(data, **options):
    with pytest.raises(errors.InvalidImage) as caught:
        read_image(data, **options)
    assert caught.value.hint
    return caught.value.code


def corner(picture):
    return picture.image.getpixel((0, 0))


def near(color, other, within=3):
    return all(abs(a - b) <= within for a, b in zip(color, other, strict=True))


def half_transparent(mode):
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (8, 0, 16, 16))
    return image.convert(mode)


def swapping_profile():
    """An RGB profile whose red is sRGB's green and the other way about."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    places = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * count, 12)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def animation(kind, frames=3):
    first, *others = (Image.new("RGB", (32, 32), (50 * n, 0, 0)) for n in range(frames))
    return saved(first, kind, save_all=True, append_images=others)


def resized(kind, width, height):
    """A file of the kind whose header declares another size than it holds."""
    data = saved(scene(), kind)
    if kind == "JPEG":
        frame = data.index(b"\xff\xc0")
        return patched(data, frame + 5, ">HH", height, width)
    if kind == "PNG":
        return png(width, height)
    if kind == "WEBP":
        return patched(data, 26, "<HH", width, height)
    if kind == "GIF":
        screen = patched(data, 6, "<HH", width, height)
        return patched(screen, screen.index(b",\0\0\0\0") + 5, "<HH", width, height)
    if kind == "BMP":
        return patched(data, 18, "<ii", width, height)
    return tiff(width, height)
