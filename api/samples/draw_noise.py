"""Smooth random fields and the small maths that both sample pictures are drawn with."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Return 0 below `low`, 1 above `high` and a soft ramp between them."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def mix(first: Array, second: Array, weight: Array) -> Array:
    """Blend two colours or fields of colour by a weight a pixel, (...,) against (..., 3)."""
    return np.asarray(first + (second - first) * weight[..., None], np.float32)


def rgb(code: str) -> Array:
    """Return the linear light of a `rrggbb` colour, (3,)."""
    values = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255
    return np.asarray(values**2.2, np.float32)


def value_noise(x: Array, y: Array, *, seed: int) -> Array:
    """Return noise in [0, 1] that varies over about one unit of `x` and `y`."""
    lattice = np.random.default_rng(seed).random((256, 256), np.float32)
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    i, j = x0.astype(np.int32) & 255, y0.astype(np.int32) & 255
    i1, j1 = (i + 1) & 255, (j + 1) & 255
    top = lattice[j, i] * (1 - fx) + lattice[j, i1] * fx
    low = lattice[j1, i] * (1 - fx) + lattice[j1, i1] * fx
    return np.asarray(top * (1 - fy) + low * fy, np.float32)


def fractal_noise(x: Array, y: Array, *, seed: int, octaves: int = 4) -> Array:
    """Return noise in [0, 1] summed over octaves of halving size and weight."""
    total, weight = np.zeros(np.broadcast(x, y).shape, np.float32), 0.0
    for octave in range(octaves):
        scale, gain = 2.03**octave, 0.5**octave
        total += gain * value_noise(x * scale + 17 * octave, y * scale, seed=seed + octave)
        weight += gain
    return np.asarray(total / weight, np.float32)


def blur(field: Array, radius: int) -> Array:
    """Return a (H, W) field under three box blurs, close to a Gaussian of that radius."""
    for _ in range(3):
        for axis in (0, 1):
            field = _box_blur(field, radius, axis)
    return field


def _box_blur(field: Array, radius: int, axis: int) -> Array:
    pads = [(0, 0), (0, 0)]
    pads[axis] = (radius + 1, radius)
    total = np.cumsum(np.pad(field, pads, mode="edge"), axis=axis, dtype=np.float64)
    span, size = 2 * radius + 1, field.shape[axis]
    ends, starts = np.arange(span, span + size), np.arange(size)
    return np.asarray((total.take(ends, axis) - total.take(starts, axis)) / span, np.float32)
