"""What a stylisation takes, before it is begun: memory, and seconds a step.

Knows no torch, so that whoever accepts, routes or refuses a job can ask. Memory is counted from the
layers' shapes; the few constants are of measurements on Linux, which `make bench` repeats. Speed
cannot be counted: `devices.describe` finds it on the device.
"""

from bisect import bisect_left
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from nst_core import schedule
from nst_core.layers import LAYERS, WIDTHS, deepest, depth, downsampling
from nst_core.params import MAX_SIZE, StyleParams
from nst_core.schedule import Scale
from nst_core.tiles import cut

#: Tiles smaller than this are mostly halo; in pixels.
SMALLEST_TILE = 64
#: Edge of a tile in pixels that is longer than any picture's: no tiles at all.
WHOLE = 1 << 20

#: What a process takes at any size: the network in another format, caches of the libraries.
_FIXED_BYTES = {"float32": 60 * 10**6, "bfloat16": 150 * 10**6}
#: The picture, its gradient, the optimiser's memory and what they pass through, a pixel.
_PICTURE_BYTES = {"adam": 120, "lbfgs": 430}
#: What a window's gradient passes through beside the layers' outputs, a pixel.
_WINDOW_BYTES = {"float32": 420, "bfloat16": 260}
#: Pictures up to this many pixels keep what they freed for the next step.
_KEPT_AREA = 512**2
#: What is kept of freed memory: a pixel and at most, and what the C library keeps in any case.
_KEPT_BYTES_PER_PIXEL = {"float32": 2_400, "bfloat16": 1_800}
_KEPT_BYTES = {"float32": 340 * 10**6, "bfloat16": 330 * 10**6}
_LEFT_BYTES = {"float32": 110 * 10**6, "bfloat16": 190 * 10**6}
_NUMBER_BYTES = {"float32": 4, "bfloat16": 2}
#: What the tables of the histogram loss take, a pixel of a window.
_HISTOGRAM_BYTES = 2_100
#: What a style picture takes while it is read, a pixel.
_STYLE_BYTES = 45
#: What a style's forward pass takes, of a step's memory at the same size.
_FORWARD_SHARE = 0.35
#: What the libraries keep for windows of many shapes.
_TILED_BYTES = 200 * 10**6
#: Forward twice and backward once, where the whole picture has each once.
_TILE_PASSES = 1.5


@dataclass(frozen=True)
class Speed:
    """How quick a device is at one number format: a step's fixed seconds, and those a GFLOP."""

    fixed_seconds: float
    seconds_per_gigaflop: float


@dataclass(frozen=True)
class Device:
    """Where a stylisation is to run; `speed` is None where nobody has measured it."""

    kind: Literal["cpu", "cuda"]
    memory_bytes: int
    bfloat16: bool
    speed: Speed | None = None


@dataclass(frozen=True)
class Estimate:
    """What the largest scale takes: peak memory beside the loaded network, and seconds a step.

    `tile_edge` is that of the tiles in pixels that make it fit; `WHOLE` when none are needed.
    `fits` is false when even the smallest do not.
    """

    bytes: int
    tile_edge: int
    seconds_a_step: float | None
    fits: bool


def estimate(params: StyleParams, device: Device, *, size: tuple[int, int] = (1, 1)) -> Estimate:
    """Return what a stylisation takes on a device, for a photo of a size or shape (w, h)."""
    plan = schedule.plan(*size, params)
    scale = plan[-1]
    edge = fitting_edge(params, scale, device)
    needed = max(
        needed_bytes(params, each, device, fitting_edge(params, each, device)) for each in plan
    )
    speed = device.speed
    seconds = None
    if speed is not None:
        work = speed.seconds_per_gigaflop * gigaflops(params, scale, edge)
        seconds = speed.fixed_seconds + work
    return Estimate(needed, edge, seconds, fits=needed <= device.memory_bytes)


def largest_size(device: Device, *, whole: bool, most: int = MAX_SIZE) -> int:
    """Return the longest edge of a square result that a device takes with the default parameters.

    `whole`: without tiles. 0 when it takes none.
    """

    def too_large(size: int) -> bool:
        found = estimate(StyleParams(size=size), device)
        return not found.fits or (whole and found.tile_edge != WHOLE)

    sizes = range(64, most + 1, 64)
    count = bisect_left(sizes, True, key=too_large)
    return sizes[count - 1] if count else 0


def least_bytes(params: StyleParams, scale: Scale) -> int:
    """Return the memory without which a scale cannot be computed: in the smallest tiles.

    Of a CPU without bfloat16; other devices take less.
    """
    device = Device("cpu", memory_bytes=0, bfloat16=False)
    return needed_bytes(params, scale, device, SMALLEST_TILE)


def fitting_edge(params: StyleParams, scale: Scale, device: Device) -> int:
    """Return the longest edge of tiles that fits the device's memory; the smallest if none does."""
    longest = max(scale.width, scale.height)
    edges = [WHOLE, *(longest // parts for parts in range(2, longest // SMALLEST_TILE + 1))]
    for edge in edges:
        if needed_bytes(params, scale, device, edge) <= device.memory_bytes:
            return edge
    return SMALLEST_TILE


def keeps_freed(scale: Scale, edge: int) -> bool:
    """Return whether a scale is small enough to spend memory on speed."""
    return max(scale.width, scale.height) <= edge and scale.width * scale.height <= _KEPT_AREA


def needed_bytes(params: StyleParams, scale: Scale, device: Device, edge: int) -> int:
    """Return the peak memory of a scale in tiles of an edge, in bytes beside the network."""
    numbers = _number_format(params, device)
    layers = _layers(params)
    pixels = scale.width * scale.height
    window = max(tile.area for tile in cut(scale.width, scale.height, edge, layers))
    # Every output of a convolution, and once more those whose statistics are taken.
    kept = _positions(_convolutions(layers)) + _positions(set(params.style_layers))
    working = (kept * _NUMBER_BYTES[numbers] + _WINDOW_BYTES[numbers]) * window
    picture = float(_PICTURE_BYTES[params.optimizer] * pixels)
    freed = float(min(_KEPT_BYTES[numbers], _KEPT_BYTES_PER_PIXEL[numbers] * window))
    if not keeps_freed(scale, edge):
        freed = min(freed, _LEFT_BYTES[numbers])
    if device.kind != "cpu":
        freed = 0.0
    if params.histogram_weight:
        working += _HISTOGRAM_BYTES * window
    larger = max(0.0, params.style_scale**2 - 1)  # than the result, which is counted already
    picture += _STYLE_BYTES * larger * pixels
    if edge >= max(scale.width, scale.height):
        working += working * larger * _FORWARD_SHARE
    else:
        freed += _TILED_BYTES
    return round(_FIXED_BYTES[numbers] + picture + working + freed)


def gigaflops(params: StyleParams, scale: Scale, edge: int = WHOLE) -> float:
    """Return the multiplications and additions of a step's convolutions, in thousand millions."""
    layers = _layers(params)
    channels, flops = 3, 0.0
    for name in _convolutions(layers):
        flops += 2 * 9 * channels * _channels(name) / downsampling(name) ** 2
        channels = _channels(name)
    whole = 2 * flops * scale.width * scale.height / 1e9  # forward, and as much backward
    if edge >= max(scale.width, scale.height):
        return whole
    windows = sum(tile.area for tile in cut(scale.width, scale.height, edge, layers))
    return whole * _TILE_PASSES * windows / (scale.width * scale.height)


def _layers(params: StyleParams) -> tuple[str, ...]:
    return (*params.content_layers, *params.style_layers)


def _number_format(params: StyleParams, device: Device) -> Literal["float32", "bfloat16"]:
    if params.precision == "auto":
        return "bfloat16" if device.bfloat16 else "float32"
    return params.precision


def _positions(layers: Collection[str]) -> float:
    """Return how many numbers of these layers there are to a pixel."""
    return sum(_channels(name) / downsampling(name) ** 2 for name in layers)


def _convolutions(layers: tuple[str, ...]) -> list[str]:
    return [name for name in LAYERS[: depth(deepest(layers)) + 1] if name.startswith("conv")]


def _channels(name: str) -> int:
    """Return the channels of a layer such as `relu4_2` of VGG19 itself."""
    return WIDTHS[int(name.removeprefix("conv").removeprefix("relu").removeprefix("pool")[0]) - 1]
