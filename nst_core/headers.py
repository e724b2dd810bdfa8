"""What an image file says about itself, read without decoding a pixel.

Owns the structure of the formats that are taken: size, frames, orientation, colour profile, and
the same file without its metadata. A decoder is given only that: text, EXIF and XMP are where
small files hide large memory, and nothing of them is needed. Knows no Pillow and no limits.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from nst_core import ifd

_MAX_PROFILE_BYTES = 8 * 2**20
# A progressive JPEG repeats its work for each scan, and a scan may have a few bytes: without a
# limit 20 MiB keep a decoder busy for half an hour. Encoders write about 10.
_MAX_SCANS = 50
# Of segments or chunks; a file of 20 MiB has a few thousand, a malicious one millions.
_MAX_PARTS = 100_000
# Offsets of strips are the longest list of a TIFF that is needed; a reader makes an object of each.
_MAX_VALUES = 200_000

_Part = TypeVar("_Part")


class Damaged(ValueError):
    """The structure of a file is broken; the text says where."""


@dataclass(frozen=True)
class Header:
    """What a file says of its picture; `body` is the file as a decoder shall see it."""

    format: str
    width: int
    height: int
    body: bytes
    frames: int = 1
    orientation: int = 1
    profile: bytes = b""


def sniff(data: bytes) -> str | None:
    """Return the format that the first bytes announce, None if it is none that is taken."""
    return next((name for name, (magic, _) in _FORMATS.items() if re.match(magic, data)), None)


def read_header(data: bytes) -> Header:
    """Read the structure of a file whose format `sniff` knows.

    Raises:
        Damaged: a part is missing or contradicts another.
    """
    try:
        header = _FORMATS[str(sniff(data))][1](data)
    except (struct.error, IndexError) as error:  # a read beyond the end
        raise Damaged("it is cut short") from error
    if not (header.width and header.height):
        raise Damaged("it has no size")
    return header


def _counted(parts: Iterator[_Part]) -> Iterator[_Part]:
    for count, part in enumerate(parts):
        if count == _MAX_PARTS:
            raise Damaged("it has too many parts")
        yield part


def _jpeg(data: bytes) -> Header:
    kept, profiles, exif, scans = [b"\xff\xd8"], [], b"", 0
    size = (0, 0)
    for code, start, end in _counted(_jpeg_segments(data)):
        content = data[start + 4 : end]
        if code in _JPEG_FRAMES and not scans:
            size = struct.unpack_from(">HH", content, 1)
        if code == _JPEG_SCAN:
            scans += 1
            kept.append(data[start:] if scans == 1 else b"")
        elif code == 0xE1 and content.startswith(b"Exif\0\0"):
            exif = exif or content
        elif code == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
            profiles.append(content[12:])
        elif code in _JPEG_KEPT and not scans:
            kept.append(data[start:end])
    if not 0 < scans <= _MAX_SCANS:
        raise Damaged(f"it has {scans} scans, where 1 to {_MAX_SCANS} are sensible")
    # Each part begins with its number and the count of all.
    profile = b"".join(part[2:] for part in sorted(profiles))
    return Header(
        "JPEG",
        height=size[0],
        width=size[1],
        body=b"".join(kept),
        orientation=ifd.read_orientation(exif),
        profile=profile,
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield code, start and end of each segment up to the end of the first picture.

    Phones append more pictures (MPO) or a film; what follows the first picture is not looked at.
    """
    end = 2
    while marker := _JPEG_MARKER.search(data, end):
        code = marker[1][0]
        if code == _JPEG_END:
            return
        (length,) = struct.unpack_from(">H", data, marker.end())
        end = marker.end() + length
        yield code, marker.end() - 2, end
    raise Damaged("it is cut short")


_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# JFIF and Adobe tell the decoder which colours the numbers mean; other APPn and comments do not.
_JPEG_KEPT = {*range(0xC0, 0xE0), 0xE0, 0xEE}
# In a scan 0xff is followed by a stuffed 0 or a restart code; anything else ends the scan.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)


def _png(data: bytes) -> Header:
    kept, exif, profile, frames = [data[:8]], b"", b"", 1
    for kind, content, chunk in _counted(_png_chunks(data)):
        if kind in _PNG_KEPT:
            kept.append(chunk)
        elif kind == b"acTL":
            frames = struct.unpack_from(">I", content)[0] or 1
        elif kind == b"eXIf":
            exif = content
        elif kind == b"iCCP":
            profile = _inflate(content.partition(b"\0")[2][1:])
    if kept[1][4:8] != b"IHDR" or sum(chunk[4:8] == b"IHDR" for chunk in kept) != 1:
        raise Damaged("its header is not at its beginning")
    width, height = struct.unpack_from(">II", kept[1], 8)
    return Header("PNG", width, height, b"".join(kept), frames, ifd.read_orientation(exif), profile)


_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield kind, content and all bytes of each chunk, those that matter checked by their CRC."""
    kind, end = b"", 8
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, end)
        chunk = data[end : end + length + 12]
        end += length + 12
        if len(chunk) != length + 12:
            raise Damaged("it is cut short")
        if kind in _PNG_KEPT and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:]):
            raise Damaged("a checksum is wrong")
        yield kind, chunk[8:-4], chunk


def _inflate(data: bytes) -> bytes:
    """Return a compressed profile; empty when it is broken or too large, for it is dispensable."""
    stream = zlib.decompressobj()
    try:
        profile = stream.decompress(data, _MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return profile if stream.eof else b""


def _webp(data: bytes) -> Header:
    chunks = list(_counted(_webp_chunks(data)))
    kind, content = chunks[0]
    if kind == b"VP8X":
        width = int.from_bytes(content[4:7], "little") + 1
        height = int.from_bytes(content[7:10], "little") + 1
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (edge & 0x3FFF for edge in struct.unpack_from("<HH", content, 6))
    first = dict(reversed(chunks))
    return Header(
        "WEBP",
        width,
        height,
        data,
        frames=sum(kind == b"ANMF" for kind, _ in chunks) or 1,
        orientation=ifd.read_orientation(first.get(b"EXIF", b"")),
        profile=first.get(b"ICCP", b""),
    )


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    size = int.from_bytes(data[4:8], "little") + 8
    if len(data) < size:
        raise Damaged("it is cut short")
    pos = 12
    while pos < size:
        kind, length = struct.unpack_from("<4sI", data, pos)
        yield kind, data[pos + 8 : pos + 8 + length]
        pos += 8 + length + length % 2


def _gif(data: bytes) -> Header:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    pos, frames = 13 + _gif_table(flags), 0
    while (block := data[pos]) != 0x3B:
        if block == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, pos + 1)
            # Decoders widen the screen for a frame that exceeds it.
            width, height = max(width, left + wide), max(height, top + high)
            frames += 1
            pos = _gif_skip(data, pos + 11 + _gif_table(flags))
        elif block == 0x21:
            pos = _gif_skip(data, pos + 2)
        else:
            raise Damaged("a block is of no known kind")
    return Header("GIF", width, height, data, frames)


def _gif_table(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_skip(data: bytes, pos: int) -> int:
    while length := data[pos]:
        pos += 1 + length
    return pos + 1


def _bmp(data: bytes) -> Header:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header_bytes == 12 else "<ii", data, 18)
    # A negative height says that the rows run from the top.
    return Header("BMP", max(width, 0), abs(height), data)


def _tiff(data: bytes) -> Header:
    order = ifd.byte_order(data)
    (offset,) = struct.unpack_from(order + "I", data, 4)
    tags = ifd.read_directory(data, order, offset)
    width, height = (ifd.number(tags, order, tag, default=0) for tag in (256, 257))
    tile = ifd.number(tags, order, 322, default=0) * ifd.number(tags, order, 323, default=0)
    if tile > max(4 * width * height, 2**22):
        raise Damaged("its tiles are much larger than itself")
    kept = {tag: tags[tag] for tag in sorted(_TIFF_KEPT & tags.keys())}
    if any(
        count > (1 if tag in _TIFF_SINGLE else _MAX_VALUES) for tag, (_, count, _) in kept.items()
    ):
        raise Damaged("a list in it is too long")
    if not ifd.values_fit(kept, order, len(data)):
        raise Damaged("it is cut short")
    profile = b""
    if 34675 in tags:
        _, length, place = tags[34675]
        (start,) = struct.unpack(order + "I", place)
        profile = data[start : start + length]
    return Header(
        "TIFF",
        width,
        height,
        _tiff_body(data, order, offset, kept),
        frames=ifd.count_directories(data, order, offset),
        orientation=ifd.read_orientation(data),
        profile=profile,
    )


# Layout, compression and colours of the pixels.
_TIFF_KEPT = {
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320),
    *(322, 323, 324, 325, 332, 338, 339, 347, *range(512, 522), 529, 530, 531, 532),
}
_TIFF_SINGLE = {256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323}


def _tiff_body(data: bytes, order: str, offset: int, tags: ifd.Tags) -> bytes:
    """Return the file with only `tags` in its directory, and no other directory.

    Nothing moves or is added: pixels that are missing at the end stay missing.
    """
    directory = struct.pack(order + "H", len(tags))
    for tag, entry in tags.items():
        directory += struct.pack(order + "HHI4s", tag, *entry)
    directory += bytes(4)
    return data[:offset] + directory + data[offset + len(directory) :]


_FORMATS: dict[str, tuple[bytes, Callable[[bytes], Header]]] = {
    "JPEG": (rb"\xff\xd8\xff", _jpeg),
    "PNG": (rb"\x89PNG\r\n\x1a\n", _png),
    "WEBP": (rb"RIFF[\0-\xff]{4}WEBPVP8[ LX]", _webp),
    "GIF": (rb"GIF8[79]a", _gif),
    "BMP": (rb"BM", _bmp),
    "TIFF": (rb"II\*\0|MM\0\*", _tiff),
}
