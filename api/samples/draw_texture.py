"""Give the village's materials their texture: plaster, tiles, stone, planks, cloth, grass."""

import numpy as np

from api.samples.draw_build import AWNING, GRASS, PLASTER, STONE, TILES, WOOD
from api.samples.draw_noise import Array, fractal_noise, mix, rgb, smoothstep, value_noise
from api.samples.draw_render import Ids


def surface_axes(normals: Array, places: Array) -> tuple[Array, Array]:
    """Return each place's metres along its surface, level (u) and up the slope (v)."""
    level = np.stack([normals[:, 2], np.zeros(len(normals)), -normals[:, 0]], axis=-1)
    flat = np.hypot(level[:, 0], level[:, 2]) < 0.05
    level[flat] = (1, 0, 0)
    level /= np.linalg.norm(level, axis=-1, keepdims=True)
    slope = np.cross(normals, level)
    u, v = (places * level).sum(axis=-1), (places * slope).sum(axis=-1)
    return np.asarray(u, np.float32), np.asarray(v, np.float32)


def cells(u: Array, v: Array, *, seed: int) -> Array:
    """Return one random number in [0, 1] for each unit square."""
    return value_noise(np.floor(u), np.floor(v), seed=seed)


def plaster(colour: Array, u: Array, v: Array, places: Array) -> Array:
    """Weather a wall: blotches, streaks of rain, bare brick where the coat fell."""
    blotch = fractal_noise(u * 0.55, v * 0.55, seed=71, octaves=5)
    streak = fractal_noise(u * 3.5, v * 0.35, seed=72, octaves=3)
    coat = colour * (0.62 + 0.5 * blotch + 0.26 * streak)[:, None]
    bare = smoothstep(0.66, 0.70, fractal_noise(u * 0.4 + 9, v * 0.5, seed=73, octaves=5))
    brick = stone(np.broadcast_to(rgb("b0714e"), colour.shape), u * 2.2, v * 2.2)
    grime = smoothstep(3.4, 1.6, places[:, 1]) * 0.4
    return mix(mix(coat, brick, bare * 0.8), rgb("4d4034"), np.asarray(grime * blotch * 1.6))


def tiles(colour: Array, u: Array, v: Array) -> Array:
    """Lay round tiles in courses, each fired to its own tint."""
    row = v / 0.42
    barrel = np.abs(np.sin(np.pi * (u / 0.40)))
    lip = smoothstep(0.0, 0.25, np.asarray(row % 1.0, np.float32))
    tint = 0.50 + 0.85 * cells(u / 0.40, row, seed=74)
    moss = smoothstep(0.55, 0.75, fractal_noise(u * 0.5, v * 0.5, seed=75))
    fired = colour * (tint * (0.45 + 0.65 * barrel) * (0.55 + 0.45 * lip))[:, None]
    return mix(np.asarray(fired, np.float32), rgb("6b6238"), moss * 0.45)


def stone(colour: Array, u: Array, v: Array) -> Array:
    """Lay blocks in staggered courses with dark joints."""
    row = v / 0.5
    column = u / 1.05 + 0.5 * (np.floor(row) % 2)
    joint_u = np.minimum(column % 1.0, 1 - column % 1.0) * 1.05
    joint_v = np.minimum(row % 1.0, 1 - row % 1.0) * 0.5
    joint = smoothstep(0.02, 0.07, np.asarray(np.minimum(joint_u, joint_v), np.float32))
    tint = 0.70 + 0.45 * cells(column, row, seed=76) + 0.35 * fractal_noise(u * 2, v * 2, seed=77)
    return np.asarray(colour * (tint * (0.55 + 0.45 * joint) - 0.12)[:, None], np.float32)


def wood(colour: Array, u: Array, v: Array) -> Array:
    """Draw planks with their grain."""
    grain = fractal_noise(u * 1.2, v * 14, seed=78, octaves=3)
    seam = smoothstep(0.0, 0.12, np.asarray((v / 0.17) % 1.0, np.float32))
    return np.asarray(colour * ((0.62 + 0.55 * grain) * (0.75 + 0.25 * seam))[:, None], np.float32)


def grass(u: Array, v: Array) -> Array:
    """Mix dry grass, green and bare earth."""
    patch = fractal_noise(u / 5, v / 5, seed=79, octaves=5)
    blade = fractal_noise(u * 1.6, v * 1.6, seed=80, octaves=3)
    field = mix(
        np.broadcast_to(rgb("5f6a34"), (len(u), 3)), rgb("b39a5a"), smoothstep(0.4, 0.62, patch)
    )
    return np.asarray(field * (0.55 + 0.8 * blade)[:, None], np.float32)


def cloth(colour: Array, u: Array) -> Array:
    """Stripe an awning."""
    stripe = smoothstep(-0.1, 0.1, np.asarray(np.sin(u * 9), np.float32))
    return mix(colour, rgb("f3e9d2"), stripe)


def texture(materials: Ids, colours: Array, normals: Array, places: Array) -> Array:
    """Return the colour of each place before any light falls on it, (n, 3)."""
    u, v = surface_axes(normals, places)
    result = colours.copy()
    for material in (PLASTER, TILES, STONE, WOOD, GRASS, AWNING):
        chosen = materials == material
        skin, a, b = colours[chosen], u[chosen], v[chosen]
        if material == PLASTER:
            result[chosen] = plaster(skin, a, b, places[chosen])
        elif material == GRASS:
            result[chosen] = grass(places[chosen, 0], places[chosen, 2])
        elif material == AWNING:
            result[chosen] = cloth(skin, a)
        else:
            result[chosen] = {TILES: tiles, STONE: stone, WOOD: wood}[material](skin, a, b)
    return np.clip(result, 0.002, 1)
