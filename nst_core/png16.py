"""PNG files of 16 bits a channel, which Pillow cannot write in colour.

Knows nothing of how the samples were made.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOR_TYPE = {3: 2, 4: 6}  # by channels: RGB, RGBA
_SUB = 1  # the filter by which a byte is the difference to that of the pixel on its left
_PERCEPTUAL = b"\0"


def encode_png16(samples: NDArray[np.uint16]) -> bytes:
    """Return sRGB samples (H, W, 3) or, with straight alpha, (H, W, 4) as a PNG file.

    Raises:
        ValueError: the array is of another shape or type.
    """
    if samples.dtype != np.uint16 or samples.ndim != 3 or samples.shape[2] not in _COLOR_TYPE:
        raise ValueError(f"{samples.dtype} {samples.shape} is not uint16 (H, W, 3) or (H, W, 4)")
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPE[channels], 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"sRGB", _PERCEPTUAL),
        (b"IDAT", zlib.compress(_filtered(samples))),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _filtered(samples: NDArray[np.uint16]) -> bytes:
    """Return the rows as PNG compresses them: most significant byte first, a filter before each."""
    height, _, channels = samples.shape
    plain = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    rows = np.empty((height, 1 + plain.shape[1]), np.uint8)
    rows[:, 0] = _SUB
    rows[:, 1:] = plain
    rows[:, 1 + 2 * channels :] -= plain[:, : -2 * channels]
    return rows.tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
