"""Reading pictures: whatever the bytes, the answer is a picture or an `InvalidImage`."""

import io
import random
import re
import struct
import time
import tracemalloc
import zlib

import pytest
from PIL import Image, ImageCms, PngImagePlugin

from nst_core import errors
from nst_core.images import MEDIA_TYPES, SUFFIXES, Limits, Picture, encode, read_image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


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


# What is taken


@pytest.mark.parametrize("kind", FORMATS)
def test_accepted_format_becomes_plain_rgb(kind):
    picture = read_image(saved(scene(), kind))

    assert (picture.format, picture.width, picture.height) == (kind, 48, 32)
    assert picture.image.mode == "RGB"
    assert picture.image.size == (48, 32)
    assert type(picture.image) is Image.Image
    assert picture.image.info == {}
    assert not picture.image.getexif()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"big_tiff": False, "strip_size": 128, "compression": "tiff_lzw"}),
    ],
)
def test_lossless_format_keeps_every_pixel(kind, options):
    picture = read_image(saved(scene(), kind, **options))

    assert picture.image.tobytes() == scene().tobytes()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_every_kind_of_jpeg_is_taken(options):
    data = saved(scene(), "JPEG", quality=95, **options)

    picture = read_image(data)

    assert picture.image.tobytes() == Image.open(io.BytesIO(data)).tobytes()


def test_jpeg_in_tiff_is_taken():
    data = saved(scene(), "TIFF", compression="jpeg")

    assert read_image(data).image.tobytes() == Image.open(io.BytesIO(data)).tobytes()


def test_phone_picture_with_a_second_picture_is_a_jpeg():
    data = saved(scene(), "MPO", save_all=True, append_images=[scene(16, 16)])
    assert Image.open(io.BytesIO(data)).format == "MPO"

    picture = read_image(data)

    assert (picture.format, picture.width, picture.height) == ("JPEG", 48, 32)


def test_film_behind_a_jpeg_is_ignored():
    film = dice(1).randbytes(100_000)

    assert read_image(saved(scene(), "JPEG") + film).width == 48


def test_single_frame_of_an_animation_format_is_taken():
    control = (b"acTL", struct.pack(">II", 1, 0))
    rows = (b"\0" + bytes(16 * 3)) * 16

    assert read_image(png(16, 16, rows=rows, extra=[control])).format == "PNG"


# What becomes of the pixels


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", [0, 100, 255, 256, 32768, 65535])
def test_16_bit_grey_is_scaled_not_clipped(value, order):
    pixel = struct.pack(order + "H", value) * 16
    if order == ">":
        data = png(16, 16, bits=16, color=0, rows=(b"\0" + pixel) * 16)
    else:
        data = tiff(16, 16, bits=16, pixels=pixel * 16)

    assert corner(read_image(data)) == (round(value / 257),) * 3


def test_16_bit_color_is_scaled():
    pixel = struct.pack(">HHH", 65535, 32768, 0)

    picture = read_image(png(16, 16, bits=16, rows=(b"\0" + pixel * 16) * 16))

    assert near(corner(picture), (255, 128, 0), within=1)


@pytest.mark.parametrize(
    ("mode", "values", "grey"),
    [
        ("F", [0.0, 0.5, 1.0], [0, 128, 255]),
        ("F", [0.0, 100.0, 255.0], [0, 100, 255]),
        ("F", [-2.0, 0.0, 2.0], [0, 128, 255]),
        ("F", [7e9, 7e9, 7e9], [0, 0, 0]),
        ("I", [0, 100, 200], [0, 100, 200]),
        ("I", [0, 32896, 65535], [0, 128, 255]),
        ("I", [-1000, 0, 1000], [0, 128, 255]),
    ],
)
def test_numbers_without_a_stated_range_fill_the_usual_one(mode, values, grey):
    image = Image.new(mode, (48, 16))
    for third, value in enumerate(values):
        image.paste(value, (third * 16, 0, third * 16 + 16, 16))

    picture = read_image(saved(image, "TIFF"))

    found = [picture.image.getpixel((x, 0))[0] for x in (0, 16, 32)]
    assert all(abs(a - b) <= 1 for a, b in zip(found, grey, strict=True)), found


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(value):
    assert code_of(saved(Image.new("F", (16, 16), value), "TIFF")) == "invalid_image"


def test_1_bit_is_black_and_white():
    image = Image.new("1", (16, 16))
    image.paste(1, (8, 0, 16, 16))

    for kind in ("PNG", "BMP", "TIFF"):
        picture = read_image(saved(image, kind))
        assert [picture.image.getpixel((x, 0)) for x in (0, 8)] == [(0, 0, 0), WHITE]


def half_transparent(mode):
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (8, 0, 16, 16))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]
)
def test_transparent_becomes_white(kind, options):
    picture = read_image(saved(half_transparent("RGBA"), kind, **options))

    assert [picture.image.getpixel((x, 0)) for x in (0, 15)] == [RED, WHITE]


def test_half_transparent_is_mixed_with_white():
    picture = read_image(saved(Image.new("RGBA", (16, 16), (0, 0, 0, 128)), "PNG"))

    assert near(corner(picture), (127, 127, 127), within=1)


def test_transparent_grey_becomes_white():
    image = Image.new("LA", (16, 16), (40, 0))
    image.paste((40, 255), (0, 0, 8, 16))

    picture = read_image(saved(image, "PNG"))

    assert [picture.image.getpixel((x, 0)) for x in (0, 15)] == [(40, 40, 40), WHITE]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_entry_of_a_palette_becomes_white(kind):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (8, 0, 16, 16))

    picture = read_image(saved(image, kind, transparency=1))

    assert [picture.image.getpixel((x, 0)) for x in (0, 15)] == [RED, WHITE]


def test_palette_with_several_alphas_is_mixed():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (8, 0, 16, 16))

    picture = read_image(saved(image, "PNG", transparency=b"\xff\x80"))

    assert corner(picture) == RED
    assert near(picture.image.getpixel((15, 0)), (127, 127, 255), within=1)


@pytest.mark.parametrize(
    ("bits", "color", "opaque", "key"),
    [
        (8, 0, b"\x20", b"\0\x40"),
        (8, 2, b"\x20\x20\x20", b"\0\x40\0\x41\0\x42"),
        (16, 0, b"\x20\x20", b"\x40\x41"),
        (16, 2, b"\x20" * 6, b"\x40\x41\x42\x43\x44\x45"),
    ],
)
def test_color_that_stands_for_transparent_becomes_white(bits, color, opaque, key):
    clear = key if bits == 16 else key[1::2]
    rows = (b"\0" + opaque * 8 + clear * 8) * 16

    picture = read_image(png(16, 16, bits=bits, color=color, rows=rows, extra=[(b"tRNS", key)]))

    assert [picture.image.getpixel((x, 0)) for x in (0, 15)] == [(32, 32, 32), WHITE]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colors(kind):
    picture = read_image(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind))

    assert near(corner(picture), RED)


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_color_spaces_become_rgb(mode):
    image = Image.new("RGB", (16, 16), (200, 40, 40))
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        image = ImageCms.applyTransform(image, to_lab)
    else:
        image = image.convert(mode)

    assert near(corner(read_image(saved(image, "TIFF"))), (200, 40, 40), within=6)


# Orientation


MARKED_CORNER = {
    1: (0, 0),
    2: (1, 0),
    3: (1, 1),
    4: (0, 1),
    5: (0, 0),
    6: (1, 0),
    7: (1, 1),
    8: (0, 1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_puts_the_corner_where_it_belongs(orientation, kind):
    image = Image.new("RGB", (64, 32), BLUE)
    image.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[274] = orientation

    picture = read_image(saved(image, kind, exif=exif))

    right, bottom = MARKED_CORNER[orientation]
    place = (right * (picture.width - 1), bottom * (picture.height - 1))
    assert picture.image.size == (picture.width, picture.height)
    assert (picture.width > picture.height) == (orientation < 5)
    assert near(picture.image.getpixel(place), RED, within=40)
    assert not picture.image.getexif()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(40),
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
        b"Exif\0\0" + dice(3).randbytes(500),
    ],
)
def test_broken_exif_is_ignored(exif, kind):
    assert read_image(saved(scene(), kind, exif=exif)).width == 48


# Colour profiles


def swapping_profile():
    """An RGB profile whose red is sRGB's green and the other way about."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    places = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * count, 12)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_color_profile_is_applied(kind):
    data = saved(Image.new("RGB", (16, 16), RED), kind, icc_profile=swapping_profile())

    picture = read_image(data)

    assert near(corner(picture), GREEN, within=8)
    assert picture.image.info == {}


def test_color_profile_is_applied_beneath_transparency():
    data = saved(half_transparent("RGBA"), "PNG", icc_profile=swapping_profile())

    picture = read_image(data)

    assert near(corner(picture), GREEN, within=8)
    assert picture.image.getpixel((15, 0)) == WHITE


def test_color_profile_is_applied_to_a_palette():
    data = saved(half_transparent("RGB").quantize(4), "PNG", icc_profile=swapping_profile())

    assert near(corner(read_image(data)), GREEN, within=8)


def test_color_profile_in_several_parts_is_joined():
    profile = swapping_profile() + bytes(100_000)
    data = saved(Image.new("RGB", (16, 16), RED), "JPEG", icc_profile=profile)
    assert data.count(b"ICC_PROFILE\0") == 2

    assert near(corner(read_image(data)), GREEN, within=8)
    assert near(corner(read_image(with_profile_parts_exchanged(data))), GREEN, within=8)


def with_profile_parts_exchanged(data):
    first, second = (at.start() - 4 for at in re.finditer(b"ICC_PROFILE\0", data))
    end = second + 2 + int.from_bytes(data[second + 2 : second + 4])
    return data[:first] + data[second:end] + data[first:second] + data[end:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("spoil", ["noise", "cut", "flipped", "huge"])
def test_broken_color_profile_is_ignored(spoil, kind):
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = {
        "noise": dice(5).randbytes(600),
        "cut": good[:150],
        "flipped": good[:128] + bytes(255 - byte for byte in good[128:]),
        "huge": bytes(3_000_000),
    }[spoil]

    picture = read_image(saved(Image.new("RGB", (16, 16), RED), kind, icc_profile=profile))

    assert near(corner(picture), RED)


@pytest.mark.parametrize("mode", ["L", "CMYK", "1"])
def test_color_profile_for_other_colors_is_ignored(mode):
    image = Image.new("RGB", (16, 16), WHITE).convert(mode)

    assert corner(read_image(saved(image, "TIFF", icc_profile=swapping_profile()))) == WHITE


# What is refused


def animation(kind, frames=3):
    first, *others = (Image.new("RGB", (32, 32), (50 * n, 0, 0)) for n in range(frames))
    return saved(first, kind, save_all=True, append_images=others)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_more_than_one_frame_is_refused(kind):
    noun = "pages" if kind == "TIFF" else "frames"

    with pytest.raises(errors.AnimatedImage, match=f"^style has 3 {noun}") as caught:
        read_image(animation(kind), field="style")

    assert (caught.value.code, caught.value.status) == ("animated_image", 422)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "invalid_image"),
        (b"\0", "invalid_image"),
        (b"hello, I am a text\n" * 20, "invalid_image"),
        (b"<!doctype html><html><body>Not found</body></html>", "invalid_image"),
        (b"MZ\x90\0" + bytes(200), "invalid_image"),
        (bytes(5000), "invalid_image"),
        (b"BM", "invalid_image"),
        (b"BMW is a car maker", "invalid_image"),
        (b"%PDF-1.7\n1 0 obj", "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90000 90000", "unsupported_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported_format"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "unsupported_format"),
        (b"8BPS\0\x01" + bytes(30), "unsupported_format"),
    ],
)
def test_what_is_no_picture_is_refused(data, code):
    assert code_of(data) == code


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PPM", "JPEG2000", "PCX", "SGI"])
def test_format_that_is_not_taken_is_never_parsed(kind):
    assert code_of(saved(scene(), kind)) in ("unsupported_format", "invalid_image")


def test_refusal_names_field_cause_and_remedy():
    with pytest.raises(errors.UnsupportedFormat) as caught:
        read_image(b"\0\0\0\x18ftypheic", field="style[1]")

    assert caught.value.message == "style[1] is HEIC, which is not taken"
    assert "JPEG, PNG, WebP, GIF, BMP or TIFF" in caught.value.hint
    assert caught.value.status == 415


def test_too_many_bytes_are_refused_at_once():
    with pytest.raises(errors.FileTooLarge) as caught:
        read_image(saved(scene(), "PNG"), limits=Limits(max_bytes=100))

    assert (caught.value.code, caught.value.status) == ("file_too_large", 413)


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


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (16_000, 16_000, "image_too_large"),
        (8, 40, "image_too_small"),
        (1, 16_000, "image_too_small"),
    ],
)
def test_declared_size_is_judged_before_decoding(width, height, code, kind):
    assert code_of(resized(kind, width, height)) == code


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_fewer_pixels_than_declared_are_refused(kind):
    """JPEG is not among them: libjpeg paints grey what a closed scan lacks, and tells nobody."""
    assert code_of(resized(kind, 16_383, 20)) == "invalid_image"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "GIF"])
def test_too_long_edge_is_refused(kind):
    assert code_of(resized(kind, 60_000, 17)) == "image_too_large"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 32), (48, 0)])
def test_empty_size_is_refused(width, height, kind):
    assert code_of(resized(kind, width, height)) == "invalid_image"


@pytest.mark.parametrize(("width", "height"), [(15, 40), (40, 15)])
def test_too_short_edge_is_refused(width, height):
    assert code_of(saved(scene(width, height), "PNG")) == "image_too_small"


@pytest.mark.parametrize("kind", FORMATS)
def test_extension_and_declared_type_do_not_matter(kind):
    """The name is never asked for: the bytes decide."""
    assert read_image(saved(scene(), kind), field="content").format == kind


# What would eat the machine


def profile_bomb():
    return (b"iCCP", b"x\0\0" + zlib.compress(bytes(400_000_000), 9))


def text_bomb(kind):
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[kind]
    return (kind, head + zlib.compress(bytes(60_000_000), 9))


ROWS = (b"\0" + bytes(16 * 3)) * 16
BOMBS = {
    "png 50k × 50k": lambda: png(50_000, 50_000, bits=1, color=0, rows=bytes(1000)),
    "png 30k × 30k of one bit": lambda: png(
        30_000, 30_000, bits=1, color=0, rows=bytes(3751) * 30_000
    ),
    "png 1 × 100k": lambda: png(1, 100_000, rows=bytes(4 * 100_000)),
    "png of 2^31 - 1": lambda: png(2**31 - 1, 2**31 - 1),
    "png with more rows than declared": lambda: png(16, 16, rows=bytes(100_000_000)),
    "gif 65k × 65k": lambda: resized("GIF", 65_535, 65_535),
    "gif whose frame exceeds the screen": lambda: (
        b"GIF89a"
        + struct.pack("<HHBBB", 32, 32, 0, 0, 0)
        + b"!\xf9\x04\x09\0\0\0\0,"
        + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
        + b"\x08\x01\x00\x00;"
    ),
    "webp 16k × 16k": lambda: resized("WEBP", 16_383, 16_383),
    "webp canvas 2^24": lambda: (
        b"RIFF"
        + struct.pack("<I", 22)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + b"\xff" * 6
    ),
    "bmp 2^31 - 1": lambda: resized("BMP", 2**31 - 1, -(2**31)),
    "tiff 2^32 - 1": lambda: tiff(2**32 - 1, 2**32 - 1),
    "tiff of huge tiles": lambda: tiff(
        32, 32, extra=[(322, 4, 1, 60_000), (323, 4, 1, 60_000), (324, 4, 1, 8)], pixels=bytes(1024)
    ),
    "tiff of a million strips": lambda: tiff(
        32, 32, extra=[(273, 4, 1_000_000, 8), (279, 4, 1_000_000, 8)], pixels=bytes(4_000_000)
    ),
    "tiff of pages in a circle": lambda: tiff(32, 32, pixels=bytes(1024), following=8 + 1024),
    "jpeg 65k × 65k": lambda: resized("JPEG", 65_535, 65_535),
    "profile of 400 MB": lambda: png(16, 16, rows=ROWS, extra=[profile_bomb()]),
    "text of 60 MB": lambda: png(16, 16, rows=ROWS, extra=[text_bomb(b"zTXt")] * 20),
    "international text": lambda: png(16, 16, rows=ROWS, extra=[text_bomb(b"iTXt")] * 20),
}


def peak_bytes_of(data):
    tracemalloc.start()
    try:
        read_image(data)
    except errors.InvalidImage:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_costs_little_memory_and_time(name):
    data = BOMBS[name]()
    start = time.perf_counter()

    peak = peak_bytes_of(data)

    assert peak < 10 * len(data) + 20 * 2**20
    assert time.perf_counter() - start < 2


def test_bomb_is_refused_without_asking_the_decoder(monkeypatch):
    def decode(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("nst_core.images._decode", decode)

    for name in (
        "png 50k × 50k",
        "webp 16k × 16k",
        "gif 65k × 65k",
        "jpeg 65k × 65k",
        "gif whose frame exceeds the screen",
        "tiff 2^32 - 1",
    ):
        assert code_of(BOMBS[name]()) == "image_too_large"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tiff of huge tiles", "its tiles are"),
        ("tiff of a million strips", "a list in it is too long"),
    ],
)
def test_tiff_that_would_make_its_decoder_swell_is_refused(name, reason):
    with pytest.raises(errors.InvalidImage, match=reason):
        read_image(BOMBS[name]())


def test_exif_never_reaches_the_parser_of_a_decoder():
    """A directory of many tags that all show the whole file makes gigabytes of objects."""
    tags = [(tag, 5, 8_000, 8) for tag in range(0x100, 0x110)] + [(282, 5, 8_000, 8)]
    block = b"Exif\0\0" + tiff(1, 1, extra=tags, pixels=bytes(64_000))
    marker = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
    data = saved(scene(), "JPEG")
    data = data[:2] + marker * 200 + data[2:]

    assert peak_bytes_of(data) < 3 * len(data)
    assert read_image(data).width == 48


SEGMENT = b"\xff\xdd\0\4\0\0"
LONG_WINDED = {
    "jpeg segments": lambda: patched_in(saved(scene(), "JPEG"), 2, SEGMENT * 1_000_000),
    "png chunks": lambda: png(16, 16, rows=ROWS, extra=[(b"PLTE", b"abc")] * 200_000),
    "webp chunks": lambda: b"RIFF\4\x6a\x18\0WEBP" + b"VP8 \0\0\0\0" * 200_000,
    "comments": lambda: b"<!---->" * 1_000_000,
    "pages": lambda: tiff_chain(1_000_000),
}


def patched_in(data, offset, more):
    return data[:offset] + more + data[offset:]


def tiff_chain(pages):
    first = tiff(32, 32, pixels=bytes(1024))
    places = range(len(first), len(first) + 6 * pages, 6)
    chain = b"".join(struct.pack("<HI", 0, place + 6) for place in places)
    return first[:-4] + struct.pack("<I", len(first)) + chain + bytes(6)


@pytest.mark.parametrize("name", LONG_WINDED)
def test_file_of_countless_parts_is_refused_soon(name):
    data = LONG_WINDED[name]()
    start = time.perf_counter()

    assert code_of(data) in ("invalid_image", "animated_image")

    assert time.perf_counter() - start < 1


def test_pages_are_counted_only_so_far():
    with pytest.raises(errors.AnimatedImage, match="has 10000 pages"):
        read_image(tiff_chain(20_000))


def test_jpeg_of_endless_scans_is_refused():
    data = saved(scene(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    data = data[:last] + data[last:-2] * 200 + data[-2:]

    assert code_of(data) == "invalid_image"


# What is broken


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("sixteenth", range(1, 16))
def test_truncated_file_is_refused(sixteenth, kind):
    data = saved(scene(), kind)

    with pytest.raises(errors.InvalidImage) as caught:
        read_image(data[: len(data) * sixteenth // 16])

    assert caught.value.code == "invalid_image"
    if kind not in ("BMP", "TIFF"):  # these two have no end that one could miss
        assert caught.value.message == f"image is a damaged {kind} file: it is cut short"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
def test_file_without_its_last_bytes_is_refused(kind):
    data = saved(scene(), kind, **({"progressive": True} if kind == "JPEG" else {}))

    for missing in (1, 2, 3, 5, 10):
        assert code_of(data[:-missing]) == "invalid_image"


def test_png_with_a_wrong_checksum_is_refused():
    """Pillow itself does not look at the checksum of pixels."""
    data = png(16, 16, rows=ROWS)
    end = data.index(b"IEND") - 8

    assert code_of(patched(data, end, ">I", 12345)) == "invalid_image"


VARIANTS = {
    **{kind: lambda kind=kind: saved(scene(), kind) for kind in FORMATS},
    "progressive": lambda: saved(scene(), "JPEG", progressive=True, icc_profile=swapping_profile()),
    "alpha": lambda: saved(half_transparent("RGBA"), "PNG", icc_profile=swapping_profile()),
    "alpha webp": lambda: saved(half_transparent("RGBA"), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0"),
    "lzw": lambda: saved(scene(), "TIFF", compression="tiff_lzw", icc_profile=swapping_profile()),
    "jpeg in tiff": lambda: saved(scene(), "TIFF", compression="jpeg"),
    "animation": lambda: animation("WEBP"),
    "apng": lambda: animation("PNG"),
    "pages": lambda: animation("TIFF"),
    "palette": lambda: saved(scene().quantize(16), "PNG", transparency=3),
    "float": lambda: saved(scene(mode="F"), "TIFF"),
}


def answer_to(data):
    try:
        return read_image(data)
    except errors.InvalidImage as refusal:
        return refusal


def flipped(data, chance):
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        # Half of them near the beginning, where the structure is.
        end = len(data) if chance.random() < 0.5 else min(len(data), 200)
        damaged[chance.randrange(end)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


@pytest.mark.parametrize("name", VARIANTS)
def test_flipped_bits_give_a_picture_or_a_refusal(name):
    data, chance = VARIANTS[name](), dice(11)

    for _ in range(150):
        answer = answer_to(flipped(data, chance))
        if isinstance(answer, errors.InvalidImage):
            assert not isinstance(
                answer.__cause__, Warning
            )  # it would be in the log, outside tests
        else:
            assert answer.image.mode == "RGB"


@pytest.mark.parametrize("name", VARIANTS)
def test_spliced_files_give_a_picture_or_a_refusal(name):
    data, chance = VARIANTS[name](), dice(13)

    for _ in range(50):
        start, end = sorted(chance.randrange(len(data)) for _ in range(2))
        splice = chance.choice((b"", b"\xff" * 4, b"\0" * 4, data[start:end] * 2))
        answer = answer_to(data[:start] + splice + data[end:])

        assert isinstance(answer, Picture | errors.InvalidImage)


@pytest.mark.parametrize(
    "cause", [KeyError("x"), MemoryError(), RecursionError(), ZeroDivisionError(), SyntaxError()]
)
def test_whatever_a_decoder_raises_is_a_refusal(cause, monkeypatch):
    def load(_):
        raise cause

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)

    with pytest.raises(errors.InvalidImage) as caught:
        read_image(saved(scene(), "PNG"))

    assert caught.value.__cause__ is cause


# Writing


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_encoded_picture_reads_back_without_metadata(kind):
    image = scene()
    image.info = {
        "icc_profile": swapping_profile(),
        "comment": b"secret",
        "exif": b"Exif\0\0secret",
    }

    data = encode(image, kind, 90)

    again = Image.open(io.BytesIO(data))
    assert not {"icc_profile", "comment", "exif", "xmp"} & again.info.keys()
    assert b"secret" not in data
    assert MEDIA_TYPES[kind] == again.get_format_mimetype()
    assert read_image(data).image.size == image.size
    assert image.info["comment"] == b"secret"


def test_encoded_png_keeps_every_pixel():
    assert read_image(encode(scene(), "png", 1)).image.tobytes() == scene().tobytes()


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_quality_decides_the_size_of_the_file(kind):
    assert len(encode(scene(), kind, 30)) < len(encode(scene(), kind, 95))


def test_every_format_has_a_media_type_and_a_suffix():
    assert MEDIA_TYPES.keys() == SUFFIXES.keys() == {kind.lower() for kind in FORMATS}


def test_every_code_has_the_status_that_fits():
    statuses = {
        error.code: error.status
        for error in (errors.InvalidImage, *errors.InvalidImage.__subclasses__())
    }

    assert statuses == {
        "invalid_image": 422,
        "unsupported_format": 415,
        "animated_image": 422,
        "image_too_large": 422,
        "image_too_small": 422,
        "file_too_large": 413,
    }
