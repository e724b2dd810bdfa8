"""What is no picture that can be used gets an `InvalidImage` with cause and remedy."""

import pytest

from nst_core import errors
from nst_core.images import Limits, read_image
from tests.pictures import FORMATS, animation, code_of, resized, saved, scene


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
