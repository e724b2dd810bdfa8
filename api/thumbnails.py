"""`Thumbnails`: smaller pictures of stored ones, in the same format; those asked for last are kept.

Knows no job; what may be seen by whom is its caller's business.
"""

import threading
from collections import OrderedDict
from io import BytesIO

from PIL import Image

from nst_core import images

LEAST_WIDTH, MOST_WIDTH = 16, 2048
_MOST_BYTES = 32 * 2**20
_QUALITY = 90
_FORMATS = {media_type: name for name, media_type in images.MEDIA_TYPES.items()}


class Thumbnails:
    """Rendered pictures by the original's SHA-256 and width; safe between threads."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, sha256: str, width: int) -> bytes | None:
        """Return one that is kept, and hold on to it longer."""
        with self._lock:
            found = self._kept.get((sha256, width))
            if found is not None:
                self._kept.move_to_end((sha256, width))
            return found

    def keep(self, sha256: str, width: int, data: bytes) -> None:
        """Keep one, in place of those not asked for the longest."""
        if len(data) > self._most_bytes:
            return
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop((sha256, width), b""))
            self._kept[sha256, width] = data
            while self._bytes > self._most_bytes:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)


def render(data: bytes, media_type: str, width: int) -> bytes:
    """Return a picture `width` pixels wide, of the same aspect and format, 8 bits a channel."""
    kind = _FORMATS[media_type]
    with Image.open(BytesIO(data), formats=[kind]) as image:
        height = max(1, round(width * image.height / image.width))
        image.draft(None, (2 * width, 2 * height))  # a jpeg is not even decoded in full
        small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return images.encode(small, kind, _QUALITY)
