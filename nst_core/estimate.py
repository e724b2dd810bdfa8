"""How much memory a stylisation takes, before it is begun.

Nearly all of it is the activations that backpropagation keeps, and these go with the pixels.
Measured on a CPU (float32, adam and lbfgs, one square style picture): peak resident memory beyond
the loaded network was 195 MiB at 256 × 256 pixels and 766 MiB at 512 × 512, about 3 kB a pixel.
bfloat16 took a fifth less. The figures below lie above all of these.
"""

BASE_BYTES = 64 * 2**20
BYTES_PER_PIXEL = 3_400


def estimate_bytes(width: int, height: int) -> int:
    """Return the peak memory, in bytes beyond the network's own, of a result of this size.

    Rough, and rather too high than too low: it knows neither the layers nor the number format.
    """
    return BASE_BYTES + BYTES_PER_PIXEL * width * height
