"""Reading and writing pictures: what is taken, set upright, and encoded."""

import io
import struct

import pytest
from PIL import Image

from nst_core import errors
from nst_core.images import MEDIA_TYPES, SUFFIXES, encode, read_image
from tests.pictures import (
    BLUE,
    FORMATS,
    RED,
    dice,
    near,
    png,
    saved,
    scene,
    swapping_profile,
)


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
