"""Alpha is kept as it was, and the colours beneath it are fit to be resized and seen."""

import io
from itertools import pairwise

import pytest
from PIL import Image, ImageChops

from nst_core.alpha import on_white, with_alpha
from nst_core.images import encode, read_image
from tests.pictures import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    code_of,
    corner,
    half_transparent,
    near,
    png,
    saved,
    scene,
    swapping_profile,
)

CLEAR_RED = (*RED, 0)
SOLID_RED = (*RED, 255)


def ends(image, y=0):
    return [image.getpixel((x, y)) for x in (0, image.width - 1)]


def as_shown(picture):
    """The corners of the picture's JPEG file, which has no alpha."""
    with Image.open(io.BytesIO(encode(picture.image, "jpeg", 95))) as file:
        return ends(file)


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]
)
def test_transparent_stays_transparent(kind, options):
    picture = read_image(saved(half_transparent("RGBA"), kind, **options))

    assert picture.image.mode == "RGBA"
    assert ends(picture.image) == [SOLID_RED, CLEAR_RED]
    assert type(picture.image) is Image.Image
    assert picture.image.info == {}


def test_picture_that_is_opaque_everywhere_has_no_alpha():
    picture = read_image(saved(scene(mode="RGBA"), "PNG"))

    assert picture.image.mode == "RGB"
    assert picture.image.tobytes() == scene().tobytes()


def test_half_transparent_keeps_alpha_and_color():
    picture = read_image(saved(Image.new("RGBA", (16, 16), (10, 20, 30, 128)), "PNG"))

    assert corner(picture) == (10, 20, 30, 128)


def test_every_alpha_is_kept_exactly():
    image = scene(256, 16, mode="RGBA")
    alpha = Image.linear_gradient("L").rotate(90).resize((256, 16))
    image.putalpha(alpha)

    picture = read_image(saved(image, "PNG"))

    assert len(set(alpha.tobytes())) == 256
    assert picture.image.getchannel("A").tobytes() == alpha.tobytes()


def test_color_of_visible_pixels_is_untouched():
    image = scene(64, 48, mode="RGBA")
    image.putalpha(Image.radial_gradient("L").resize((64, 48)))

    picture = read_image(saved(image, "PNG"))

    hidden = image.getchannel("A").point(lambda value: 255 if value < 16 else 0)
    changed = ImageChops.difference(picture.image.convert("RGB"), image.convert("RGB"))
    changed.paste(0, mask=hidden)
    assert 0 < hidden.histogram()[255] < 64 * 48
    assert changed.getbbox() is None


def test_transparent_grey_stays_transparent():
    image = Image.new("LA", (16, 16), (90, 0))
    image.paste((40, 255), (0, 0, 8, 16))

    picture = read_image(saved(image, "PNG"))

    first, last = ends(picture.image)
    assert first == (40, 40, 40, 255)
    assert near(last, (40, 40, 40, 0), within=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_entry_of_a_palette_stays_transparent(kind):
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (8, 0, 16, 16))

    picture = read_image(saved(image, kind, transparency=1))

    assert ends(picture.image) == [SOLID_RED, CLEAR_RED]


def test_palette_with_several_alphas_keeps_them():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (8, 0, 16, 16))

    picture = read_image(saved(image, "PNG", transparency=b"\xff\x80"))

    assert ends(picture.image) == [SOLID_RED, (*BLUE, 128)]


@pytest.mark.parametrize(
    ("bits", "color", "opaque", "key"),
    [
        (8, 0, b"\x20", b"\0\x40"),
        (8, 2, b"\x20\x20\x20", b"\0\x40\0\x41\0\x42"),
        (16, 0, b"\x20\x20", b"\x40\x41"),
        (16, 2, b"\x20" * 6, b"\x40\x41\x42\x43\x44\x45"),
    ],
)
def test_color_that_stands_for_transparent_is_transparent(bits, color, opaque, key):
    clear = key if bits == 16 else key[1::2]
    rows = (b"\0" + opaque * 8 + clear * 8) * 16

    picture = read_image(png(16, 16, bits=bits, color=color, rows=rows, extra=[(b"tRNS", key)]))

    first, last = ends(picture.image)
    assert first == (32, 32, 32, 255)
    assert near(last, (32, 32, 32, 0), within=1)


def test_color_profile_is_applied_beneath_transparency():
    data = saved(half_transparent("RGBA"), "PNG", icc_profile=swapping_profile())

    picture = read_image(data)

    assert near(corner(picture), (*GREEN, 255), within=8)
    assert near(picture.image.getpixel((15, 0)), (*GREEN, 0), within=8)


def test_orientation_turns_alpha_along():
    exif = Image.Exif()
    exif[274] = 6

    picture = read_image(saved(half_transparent("RGBA"), "PNG", exif=exif))

    assert [picture.image.getpixel((0, y))[3] for y in (0, 15)] == [255, 0]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_wholly_transparent_picture_is_refused(mode):
    data = saved(Image.new(mode, (16, 16)), "PNG")

    assert code_of(data) == "invalid_image"


def test_hidden_pixels_take_the_color_of_the_nearest_visible_ones():
    image = Image.new("RGB", (200, 100), GREEN)  # what the file happens to have there
    image.paste(RED, (0, 0, 20, 100))
    image.paste(BLUE, (180, 0, 200, 100))
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (20, 0, 180, 100))

    filled = with_alpha(image, alpha)

    assert near(filled.getpixel((22, 50)), CLEAR_RED)
    assert near(filled.getpixel((177, 50)), (*BLUE, 0))
    reds = [filled.getpixel((x, 50))[0] for x in range(200)]
    assert all(left >= right for left, right in pairwise(reds))
    assert filled.getchannel("G").getextrema()[1] <= 3


def test_one_visible_pixel_colors_the_whole():
    image = Image.new("RGB", (77, 301), GREEN)
    image.putpixel((50, 7), (200, 100, 50))
    alpha = Image.new("L", image.size)
    alpha.putpixel((50, 7), 255)

    filled = with_alpha(image, alpha)

    for place in ((0, 0), (76, 0), (0, 300), (76, 300)):
        assert near(filled.getpixel(place), (200, 100, 50, 0))


def test_rounding_errors_of_faint_pixels_are_not_carried_outwards():
    image = Image.new("RGB", (60, 20), RED)
    image.paste(GREEN, (19, 0, 60, 20))
    alpha = Image.new("L", image.size)
    alpha.paste(255, (0, 0, 19, 20))
    alpha.paste(1, (19, 0, 20, 20))

    filled = with_alpha(image, alpha)

    assert filled.getchannel("G").getextrema()[1] <= 3
    assert filled.getpixel((19, 5))[3] == 1


def test_faint_colors_are_good_enough_where_there_are_no_stronger_ones():
    image = Image.new("RGB", (60, 20), RED)
    image.paste(GREEN, (30, 0, 60, 20))
    alpha = Image.new("L", image.size)
    alpha.paste(9, (0, 0, 30, 20))

    filled = with_alpha(image, alpha)

    assert filled.getpixel((0, 0)) == (*RED, 9)
    assert near(filled.getpixel((59, 0)), CLEAR_RED)
    assert image.getpixel((59, 0)) == GREEN


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_encoded_picture_keeps_alpha(kind):
    image = Image.new("RGBA", (16, 16), (200, 10, 10, 255))
    image.paste((0, 0, 200, 100), (8, 0, 16, 16))

    again = read_image(encode(image, kind, 100)).image

    assert near(again.getpixel((0, 0)), (200, 10, 10, 255), within=8)
    assert again.getpixel((15, 0))[3] == 100


def test_jpeg_becomes_white_where_the_picture_is_transparent():
    picture = read_image(saved(half_transparent("RGBA"), "PNG"))

    first, last = as_shown(picture)

    assert near(first, RED)
    assert near(last, WHITE)


def test_jpeg_mixes_half_transparent_with_white():
    picture = read_image(saved(Image.new("RGBA", (16, 16), (0, 0, 0, 128)), "PNG"))

    assert all(near(color, (127, 127, 127)) for color in as_shown(picture))


def test_laid_on_white_leaves_an_opaque_picture_as_it_is():
    assert on_white(scene()).tobytes() == scene().tobytes()
