"""16-bit PNG: exact samples, in files that other programs read."""

import io
import struct
import zlib

import pytest
from PIL import Image

from nst_core.images import read_image

np = pytest.importorskip("numpy", reason="this machine does not compute")

from nst_core.png16 import encode_png16  # noqa: E402 - after the skip


def some_samples(height=37, width=53, channels=3):
    samples = np.random.default_rng(5).integers(0, 65536, (height, width, channels), np.uint16)
    samples[0, :3] = [[0] * channels, [65535] * channels, [258] * channels]
    return samples


def chunks_of(data):
    """The chunks by kind, in their order, with their checksums looked at."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    found, place = {}, 8
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
        assert checksum == zlib.crc32(kind + content)
        found[kind.decode()] = content
        place += 12 + length
    return found


def decoded(data):
    """The samples, undone byte by byte as the PNG specification has it for the filter Sub."""
    chunks = chunks_of(data)
    width, height, depth, color = struct.unpack(">IIBB", chunks["IHDR"][:10])
    channels = {2: 3, 6: 4}[color]
    assert (depth, chunks["IHDR"][10:]) == (16, b"\0\0\0")
    raw, length = zlib.decompress(chunks["IDAT"]), width * channels * 2
    assert len(raw) == height * (1 + length)
    rows = b""
    for start in range(0, len(raw), 1 + length):
        assert raw[start] == 1
        row = bytearray(raw[start + 1 : start + 1 + length])
        for place in range(2 * channels, length):
            row[place] = (row[place] + row[place - 2 * channels]) % 256
        rows += row
    return np.frombuffer(rows, ">u2").reshape(height, width, channels)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("height", "width"), [(37, 53), (1, 1), (1, 40), (40, 1)])
def test_every_sample_is_in_the_file(channels, height, width):
    samples = np.resize(some_samples(channels=channels), (height, width, channels))

    data = encode_png16(samples)

    assert np.array_equal(decoded(data), samples)


def test_file_says_that_it_is_srgb_and_nothing_else():
    assert list(chunks_of(encode_png16(some_samples()))) == ["IHDR", "sRGB", "IDAT", "IEND"]


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (4, "RGBA")])
def test_other_programs_read_the_file(channels, mode):
    samples = some_samples(channels=channels)

    with Image.open(io.BytesIO(encode_png16(samples))) as file:
        picture = np.asarray(file)

    assert (file.mode, file.size) == (mode, (53, 37))
    assert np.array_equal(picture, samples >> 8)  # Pillow keeps the upper byte


def test_file_can_be_a_content_image():
    assert read_image(encode_png16(some_samples())).format == "PNG"


def test_view_into_a_larger_array_is_written_as_it_looks():
    samples = some_samples(80, 80)[::2, ::-2]

    assert np.array_equal(decoded(encode_png16(samples)), samples)


def test_smooth_picture_is_much_smaller_than_its_samples():
    ramp = np.arange(0, 65536, 64, dtype=np.uint16)
    samples = np.stack([np.tile(ramp, (64, 1))] * 3, axis=-1)

    assert len(encode_png16(samples)) < samples.nbytes / 50


@pytest.mark.parametrize(
    ("shape", "kind"), [((8, 8, 3), "uint8"), ((8, 8), "uint16"), ((8, 8, 2), "uint16")]
)
def test_other_arrays_are_refused(shape, kind):
    with pytest.raises(ValueError, match="is not uint16"):
        encode_png16(np.zeros(shape, kind))
