"""What a mask may be, and in which words one is refused."""

import pytest
from PIL import Image

from nst_core import errors
from nst_core.images import Limits
from nst_core.masks import check_mask_count, check_mask_shape, read_mask
from tests.pictures import saved


def grey(value, mode="L"):
    return saved(Image.new("L", (20, 16), value).convert(mode), "PNG")


@pytest.mark.parametrize("value", [1, 100, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_mask_is_as_white_as_its_file(value, mode):
    mask = read_mask(grey(value, mode))

    assert (mask.image.mode, mask.image.size, mask.format) == ("L", (20, 16), "PNG")
    assert mask.image.getextrema() == (value, value)


def test_colored_mask_counts_by_its_luminance():
    mask = read_mask(saved(Image.new("RGB", (20, 16), (0, 255, 0)), "PNG"))

    assert mask.image.getpixel((0, 0)) == 150  # 0.587 of 255: ITU-R 601


def test_transparent_parts_of_a_mask_are_black():
    image = Image.new("LA", (20, 16), (255, 0))
    image.paste((255, 255), (0, 0, 5, 16))
    image.paste((200, 128), (5, 0, 10, 16))

    mask = read_mask(saved(image, "PNG")).image

    assert [mask.getpixel((x, 0)) for x in (0, 5, 19)] == [255, 100, 0]


@pytest.mark.parametrize(
    "image", [Image.new("L", (20, 16)), Image.new("1", (20, 16)), Image.new("RGB", (20, 16))]
)
def test_mask_that_is_black_everywhere_is_refused(image):
    with pytest.raises(errors.InvalidMask, match="second is black everywhere") as caught:
        read_mask(saved(image, "PNG"), field="second")

    assert (caught.value.code, caught.value.status) == ("invalid_mask", 422)
    assert caught.value.hint


def test_mask_whose_visible_part_is_black_is_refused():
    image = Image.new("LA", (20, 16), (255, 0))
    image.paste((0, 255), (0, 0, 5, 16))

    with pytest.raises(errors.InvalidMask):
        read_mask(saved(image, "PNG"))


def test_mask_is_held_to_the_limits_of_pictures():
    with pytest.raises(errors.FileTooLarge, match=r"^mask has"):
        read_mask(grey(255), limits=Limits(max_bytes=10))
    with pytest.raises(errors.InvalidImage, match=r"^mask is not a picture"):
        read_mask(b"no picture")


@pytest.mark.parametrize(
    ("mask", "content"),
    [
        ((400, 300), (4000, 3000)),
        ((4000, 3000), (400, 300)),
        ((408, 300), (400, 300)),
        ((392, 300), (400, 300)),
        ((16, 21), (1000, 1333)),
        ((17, 16), (1001, 1000)),
    ],
)
def test_mask_of_the_contents_shape_fits_at_any_size(mask, content):
    check_mask_shape(mask, content)


@pytest.mark.parametrize("mask", [(411, 300), (389, 300), (300, 400), (18, 16)])
def test_mask_of_another_shape_is_refused(mask):
    content = (400, 300) if mask[0] > 100 else (1000, 1000)

    with pytest.raises(
        errors.InvalidMask, match=f"{mask[0]}×{mask[1]}, of another shape"
    ) as caught:
        check_mask_shape(mask, content)

    assert f"{content[0]}×{content[1]}" in caught.value.message


@pytest.mark.parametrize(("masks", "styles"), [(0, 1), (0, 3), (1, 1), (3, 3)])
def test_none_or_one_mask_for_each_style_is_right(masks, styles):
    check_mask_count(masks, styles)


@pytest.mark.parametrize(("masks", "styles"), [(1, 2), (2, 1)])
def test_more_or_fewer_masks_than_styles_are_refused(masks, styles):
    with pytest.raises(errors.InvalidMask, match=f"{masks} masks for {styles} styles") as caught:
        check_mask_count(masks, styles)

    assert "in their order" in caught.value.hint
