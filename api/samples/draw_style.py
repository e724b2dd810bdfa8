"""Draw the style picture: a canvas of two suns over a swell, in thick directed strokes.

Each stroke is a ribbon that follows a flow field. It leaves colour and relief, bristle by bristle;
the relief is lit at the end, which is what makes the paint look thick.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from api.samples.draw_noise import Array, blur, fractal_noise, mix, rgb, smoothstep

SIDE = 640
SCALE = 2  # painted at twice the size, so that the bristles come out soft
SEED = 20


@dataclass(frozen=True)
class Disc:
    """A sun that the flow turns around; lengths are fractions of the canvas."""

    x: float
    y: float
    radius: float
    turn: float
    rings: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """Strokes of one size; lengths are pixels of the finished picture."""

    strokes: int
    width: float
    length: float
    jitter: float


DISCS = (
    Disc(0.665, 0.315, 0.150, 1.0, ("fff0b8", "ffc93c", "f79a1e", "e4521b", "b3261e")),
    Disc(0.185, 0.155, 0.060, -1.0, ("fdf6dd", "f6e3a1", "9fd0c4", "3d8fa3")),
    Disc(0.250, 0.560, 0.085, -1.0, ("d7efe2", "7cc4bd", "2b86a0", "154e86", "0f2f66")),
)
SKY = ("0b1d4f", "143a86", "1f62b0", "3f97bf", "a9d6cf", "f3e7bd")
SWELL = ("0a1436", "0f2f66", "0e6a7e", "35a79a", "f2dfa2", "e4521b", "0b1d4f")
LAYERS = (
    Layer(900, 26, 150, 0.05),
    Layer(2600, 14, 92, 0.07),
    Layer(5200, 7.5, 56, 0.09),
    Layer(3600, 4.0, 34, 0.13),
)


def draw_style() -> Image.Image:
    """Return the painted canvas, 640 × 640."""
    rng = np.random.default_rng(SEED)
    side = SIDE * SCALE
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    colour = pigment(x, y, np.zeros_like(x)) * np.float32(0.6)
    relief = np.zeros((side, side), np.float32)
    for layer in LAYERS:
        paint_layer(colour, relief, layer, rng)
    lit = light_paint(np.asarray(colour, np.float32), relief, weave(side))
    picture = Image.fromarray((np.clip(lit, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def swell_depth(x: Array, y: Array) -> Array:
    """Return how far below the crest of the swell a place lies; negative in the sky."""
    crest = 0.70 + 0.085 * np.sin(5.2 * x + 0.6) + 0.03 * np.sin(11 * x + 2.0)
    return np.asarray(y - crest, np.float32)


def flow(x: Array, y: Array) -> Array:
    """Return the direction in radians that a stroke takes at a place."""
    bend = fractal_noise(x * 3.1 + 5, y * 3.1, seed=3, octaves=2) - 0.5
    dx = np.cos(bend * 3.4 + 0.55 * np.sin(4.5 * x + 5 * y))
    dy = np.sin(bend * 3.4 + 0.55 * np.sin(4.5 * x + 5 * y))
    for disc in DISCS:
        u, v = x - disc.x, y - disc.y
        away = np.hypot(u, v) + 1e-4
        pull = 5.5 * np.exp(-((away / (disc.radius * 2.1)) ** 2)) * disc.turn
        dx, dy = dx - pull * v / away, dy + pull * u / away
    depth = swell_depth(x, y)
    slope = 0.085 * 5.2 * np.cos(5.2 * x + 0.6) + 0.33 * np.cos(11 * x + 2.0)
    sea = smoothstep(-0.05, 0.0, depth) * 6
    fade = np.exp(-np.clip(depth, 0, 1) * 3)
    return np.asarray(np.arctan2(dy + sea * slope * fade, dx + sea), np.float32)


def ramp(codes: tuple[str, ...], position: Array) -> Array:
    """Return the colour at a position in [0, 1] of a row of colours."""
    stops = np.stack([rgb(code) for code in codes])
    place = np.clip(position, 0, 1) * (len(codes) - 1)
    low = np.minimum(place.astype(np.int32), len(codes) - 2)
    return mix(stops[low], stops[low + 1], np.asarray(place - low, np.float32))


def pigment(x: Array, y: Array, stray: Array) -> Array:
    """Return the colour of a stroke that starts at a place; `stray` moves it along its palette."""
    bands = fractal_noise(x * 2.2, y * 4.2 + 3, seed=31, octaves=3)
    bands = bands + 0.22 * np.sin(9 * y - 4 * x + 7 * bands)
    colour = ramp(SKY, np.asarray(bands * 1.15 - 0.12 + stray * 1.6, np.float32))
    for disc in DISCS:
        away = np.hypot(x - disc.x, y - disc.y) / disc.radius
        halo = np.asarray(np.abs(np.sin(away * 5.0)) * np.exp(-((away - 1.2) ** 2) * 0.9))
        # a stroke is either halo or sky: mixed on the brush, gold and blue turn to mud
        halo = smoothstep(0.42, 0.50, np.asarray(halo * (away > 1) + stray * 2.4, np.float32))
        colour = mix(colour, ramp(disc.rings, np.asarray(0.28 + stray * 1.5, np.float32)), halo)
        inside = smoothstep(1.08, 1.0, np.asarray(away + stray * 0.4, np.float32))
        colour = mix(colour, ramp(disc.rings, np.asarray(away + stray, np.float32)), inside)
    depth = swell_depth(x, y)
    stripes = (depth * 7.5 + 0.3 * fractal_noise(x * 4, y * 9, seed=47)) % 1.0
    sea = ramp(SWELL, np.asarray(stripes + stray, np.float32))
    return mix(colour, sea, smoothstep(-0.012, 0.006, depth))


def paint_layer(colour: Array, relief: Array, layer: Layer, rng: np.random.Generator) -> None:
    """Paint the strokes of one layer on `colour` and `relief`, in place."""
    side = len(colour)
    x, y = rng.uniform(-0.06, 1.02, (2, layer.strokes)).astype(np.float32)
    stray = rng.normal(0, layer.jitter, layer.strokes).astype(np.float32)
    tint = pigment(x, y, stray) * rng.normal(1, 0.12, (layer.strokes, 1))
    lengths = layer.length * rng.uniform(0.6, 1.3, layer.strokes)
    widths = layer.width * rng.uniform(0.7, 1.25, layer.strokes)
    paths = trace_paths(x, y, np.asarray(lengths / SIDE, np.float32))
    for path, paint, width in zip(paths, tint, widths, strict=True):
        lay_stroke((colour, relief), path * side, np.asarray(paint), float(width * SCALE), rng)


def trace_paths(x: Array, y: Array, lengths: Array, points: int = 14) -> Array:
    """Return the way of each stroke along the flow, (strokes, points, 2)."""
    step, way = lengths / points, []
    for _ in range(points):
        way.append(np.stack([x, y], axis=-1))
        angle = flow(x, y)
        x, y = x + step * np.cos(angle), y + step * np.sin(angle)
    return np.asarray(np.stack(way, axis=1), np.float32)


def ribbon(path: Array, width: float) -> tuple[Array, Array, Array]:
    """Return a stroke's samples: places (S, T, 2), shares along (S, 1) and across (T,)."""
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    along = np.linspace(0, 1, max(int(length * 1.3), 8), dtype=np.float32)
    across = np.linspace(-1, 1, max(int(width * 1.4), 5), dtype=np.float32)
    knots = np.linspace(0, 1, len(path))
    spine = np.stack([np.interp(along, knots, path[:, axis]) for axis in (0, 1)], axis=-1)
    heading = np.gradient(spine, axis=0)
    heading /= np.hypot(heading[:, :1], heading[:, 1:]) + 1e-6
    side = np.stack([-heading[:, 1], heading[:, 0]], axis=-1)
    taper = 0.62 + 0.38 * np.sqrt(np.sin(3.1 * np.clip(along * 0.9 + 0.1, 0, 1)))
    reach = (taper[:, None] * across * width / 2)[..., None]
    places = spine[:, None] + side[:, None] * reach
    return np.asarray(places, np.float32), along[:, None], across


def lay_stroke(
    canvas: tuple[Array, Array], path: Array, paint: Array, width: float, rng: np.random.Generator
) -> None:
    """Leave one loaded stroke on the canvas: bristle streaks, raised edges, a ragged dry end."""
    colour, relief = canvas
    places, along, across = ribbon(path, width)
    bristles = np.interp(
        across, np.linspace(-1, 1, int(width / 2.2) + 4), rng.random(int(width / 2.2) + 4)
    )
    ends = 0.99 - 0.34 * rng.random(len(across)) ** 2 - 0.10 * across**2
    starts = 0.07 * across**2 + 0.03 * rng.random(len(across))
    column, row = places[..., 0].astype(np.int32), places[..., 1].astype(np.int32)
    size = len(relief)
    keep = (along < ends) & (along > starts)
    keep &= (column >= 0) & (row >= 0) & (column < size) & (row < size)
    streak = 0.62 + 0.76 * bristles + 0.10 * (along - 0.5)
    body = 0.45 + 0.9 * bristles + 0.35 * across**4 + 0.5 * np.exp(-along * 14)
    body = body * (1 - 0.45 * along) * min(width / 22, 1.2)
    column, row = column[keep], row[keep]
    colour[row, column] = (streak[..., None] * paint)[keep]
    relief[row, column] = 0.35 * relief[row, column] + body[keep]


def weave(side: int) -> Array:
    """Return the relief of the bare canvas, (side, side)."""
    place = np.arange(side, dtype=np.float32) * (np.pi / 3.2)
    threads = np.sin(place)[:, None] * np.sin(place)[None]
    return np.asarray(0.05 * threads, np.float32)


def light_paint(colour: Array, relief: Array, ground: Array) -> Array:
    """Return the colour of the paint under a lamp at the upper left, with its wet highlights."""
    height = blur(relief, 1) * 5.0 + ground
    dy, dx = np.gradient(height)
    normal = np.stack([-dx, -dy, np.ones_like(dx)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lamp = np.array([-0.50, -0.58, 0.64], np.float32)
    half = lamp + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    diffuse = np.clip(normal @ lamp, 0, None) / lamp[2]
    gloss = np.clip(normal @ half, 0, None) ** 38
    hollow = np.clip(1 + 0.10 * (height - blur(np.asarray(height), 5)), 0.6, 1.25)
    shade = (0.30 + 0.70 * diffuse) * hollow
    flat = float(half[2]) ** 38
    return np.asarray(colour * shade[..., None] + 0.22 * (gloss - flat)[..., None], np.float32)
