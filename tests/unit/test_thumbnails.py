"""The cache of smaller pictures: bounded in bytes, and the latest stay."""

from io import BytesIO

import pytest
from PIL import Image

from api.thumbnails import Thumbnails, render
from nst_core.images import encode
from tests.pictures import scene


def test_those_asked_for_last_are_kept():
    kept = Thumbnails(most_bytes=20)
    kept.keep("a", 16, b"a" * 10)
    kept.keep("b", 16, b"b" * 10)
    kept.find("a", 16)

    kept.keep("c", 16, b"c" * 10)

    assert kept.find("b", 16) is None
    assert (kept.find("a", 16), kept.find("c", 16)) == (b"a" * 10, b"c" * 10)
    assert kept.find("a", 17) is None


def test_the_same_again_takes_no_more_room():
    kept = Thumbnails(most_bytes=20)
    for _ in range(5):
        kept.keep("a", 16, b"a" * 10)

    kept.keep("b", 16, b"b" * 10)

    assert kept.find("a", 16)
    assert kept.find("b", 16)


def test_one_that_is_too_large_drives_nothing_out():
    kept = Thumbnails(most_bytes=20)
    kept.keep("a", 16, b"a" * 10)

    kept.keep("b", 16, b"b" * 21)

    assert kept.find("a", 16)
    assert kept.find("b", 16) is None


@pytest.mark.parametrize("size", [(400, 20), (2000, 17), (17, 400)])
def test_edges_stay_at_least_a_pixel(size):
    small = Image.open(BytesIO(render(encode(scene(*size), "png", 0), "image/png", 16)))

    assert small.size == (16, max(1, round(16 * size[1] / size[0])))
