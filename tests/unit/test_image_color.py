"""Modes, depths and colour profiles become sRGB."""

import re
import struct

import pytest
from PIL import Image, ImageCms

from nst_core.images import read_image
from tests.pictures import (
    GREEN,
    RED,
    WHITE,
    code_of,
    corner,
    dice,
    half_transparent,
    near,
    png,
    saved,
    swapping_profile,
    tiff,
)


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_color_profile_is_applied(kind):
    data = saved(Image.new("RGB", (16, 16), RED), kind, icc_profile=swapping_profile())

    picture = read_image(data)

    assert near(corner(picture), GREEN, within=8)
    assert picture.image.info == {}


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
