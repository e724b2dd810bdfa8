"""Files made to eat the machine cost little memory and time."""

import struct
import time
import tracemalloc
import zlib

import pytest

from nst_core import errors
from nst_core.images import read_image
from tests.pictures import ROWS, code_of, png, resized, saved, scene, tiff


def profile_bomb():
    return (b"iCCP", b"x\0\0" + zlib.compress(bytes(400_000_000), 9))


def text_bomb(kind):
    head = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0"}[kind]
    return (kind, head + zlib.compress(bytes(60_000_000), 9))


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
