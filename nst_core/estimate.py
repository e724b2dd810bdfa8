"""What a stylisation will need: memory, before anything is computed. Torch-free."""

_FIXED_BYTES = 600 * 2**20
_BYTES_PER_PIXEL = 4000


def estimate_bytes(width: int, height: int) -> int:
    """Return the memory in bytes that a stylisation of this size takes at its peak."""
    return _FIXED_BYTES + _BYTES_PER_PIXEL * width * height
