"""Image file directories: the lists of tags that make up a TIFF and an EXIF block.

Knows no other part of a file. What lies beyond the end raises `struct.error`.
"""

import struct

#: Type, count and value (or its place) of each tag.
Tags = dict[int, tuple[int, int, bytes]]

_SHORT, _LONG = 3, 4
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_ORIENTATION = 274
_MAX_PAGES = 10_000  # counted at most


def count_directories(data: bytes, order: str, offset: int) -> int:
    """Return the length of the chain that begins at `offset`: the pages of a TIFF."""
    seen: set[int] = set()
    while 0 < offset < len(data) and offset not in seen and len(seen) < _MAX_PAGES:
        seen.add(offset)
        (entries,) = struct.unpack_from(order + "H", data, offset)
        (offset,) = struct.unpack_from(order + "I", data, offset + 2 + 12 * entries)
    return len(seen)


def byte_order(data: bytes) -> str:
    """Return the byte order, as `struct` writes it, of the file or block."""
    return "<" if data[:2] == b"II" else ">"


def read_directory(data: bytes, order: str, offset: int) -> Tags:
    """Return type, count and value of each tag in the directory at `offset`."""
    (entries,) = struct.unpack_from(order + "H", data, offset)
    found: Tags = {}
    for index in range(entries):
        tag, *entry = struct.unpack_from(order + "HHI4s", data, offset + 2 + 12 * index)
        found.setdefault(tag, (entry[0], entry[1], entry[2]))
    return found


def values_fit(tags: Tags, order: str, file_bytes: int) -> bool:
    """Return whether every value lies in the file, and all together are no larger than it."""
    total = 0
    for kind, count, place in tags.values():
        size = count * _VALUE_BYTES.get(kind, 0)
        (start,) = struct.unpack(order + "I", place)
        if size > 4 and start + size > file_bytes:
            return False
        total += size
    return total <= file_bytes


def number(tags: Tags, order: str, tag: int, *, default: int) -> int:
    """Return the value of a whole-numbered tag."""
    kind, _, value = tags.get(tag, (0, 0, b""))
    if kind not in (_SHORT, _LONG):
        return default
    number: int = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), value)[0]
    return number


def read_orientation(exif: bytes) -> int:
    """Return EXIF's orientation, 1 to 8; 1 also when the EXIF is broken, for it is dispensable."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = byte_order(exif)
    try:
        (offset,) = struct.unpack_from(order + "I", exif, 4)
        value = number(read_directory(exif, order, offset), order, _ORIENTATION, default=1)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1
