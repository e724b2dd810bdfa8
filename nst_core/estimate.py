"""How much memory a stylisation takes, before it is begun.

Nearly all of it is the activations that backpropagation keeps, and these go with the pixels.
Measured on a CPU with the default layers and one square style picture, as peak resident memory
beyond the loaded network: 271 MiB at 256 × 256 pixels and 951 MiB at 512 × 512 in float32, a third
less in bfloat16. The figures below lie above all of these.
"""

BASE_BYTES = 64 * 2**20
BYTES_PER_PIXEL = 4_000


def estimate_bytes(width: int, height: int) -> int:
    """Return the peak memory, in bytes beyond the network's own, of a result of this size.

    Rough, and rather too high than too low: it knows neither the layers nor the number format.
    """
    return BASE_BYTES + BYTES_PER_PIXEL * width * height


#: Tiles smaller than this are mostly halo; in pixels.
SMALLEST_TILE = 64
