"""Grow what is not built: the hill, trees made of leaves, boulders, flowers."""

from itertools import pairwise

import numpy as np

from api.samples.draw_build import GRASS, STONE, place
from api.samples.draw_noise import Array, fractal_noise, rgb, smoothstep
from api.samples.draw_render import Scene


def ground(x: Array, z: Array) -> Array:
    """Return the height of the land, below zero where the sea begins."""
    hill = 28 * smoothstep(70, 124, z) * np.exp(-(((x - 18) / 36) ** 2))
    shore = smoothstep(-30, -8, x - (z - 62) * 0.10)
    rough = 2.2 * (fractal_noise(x / 14, z / 14, seed=61) - 0.5) * smoothstep(74, 90, z)
    return (hill + 1.7 + rough) * shore - 0.6 * (1 - shore)


def height_at(x: float, z: float) -> float:
    """Return the height of the land at one place."""
    return float(ground(np.array([x]), np.array([z]))[0])


def add_hill(scene: Scene) -> None:
    """Add the land as a grid of triangles."""
    x, z = np.meshgrid(np.linspace(-45, 110, 94), np.linspace(66, 170, 60))
    grid: Array = np.stack([x, ground(x, z), z], axis=-1)
    for near, far in pairwise(grid):
        for i in range(len(near) - 1):
            cell = np.stack([near[i], near[i + 1], far[i + 1], far[i]])
            if cell[:, 1].max() > 0:
                scene.add(cell[[0, 1, 2]], GRASS, rgb("6f7a3c"))
                scene.add(cell[[0, 2, 3]], GRASS, rgb("6f7a3c"))


def directions(count: int, rng: np.random.Generator) -> Array:
    """Return unit vectors that point every way, (count, 3)."""
    way: Array = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    return way


def add_tree(
    scene: Scene, middle: Array, radii: Array, leaf: tuple[str, float], rng: np.random.Generator
) -> None:
    """Add a crown: leaves over an ellipsoid whose surface swells into clumps."""
    code, size = leaf
    count = int(np.clip(7 * radii[0] * radii[1] / size**2, 40, 9000))
    way, clumps = directions(count, rng), directions(14, rng)
    swell = 0.72 + 0.34 * np.max(way @ clumps.T, axis=-1) ** 6 + rng.normal(0, 0.06, count)
    places = middle + way * radii * swell[:, None]
    normals = way / radii * radii.min() + rng.normal(0, 0.35, (count, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    tint = rgb(code) * rng.normal(1, 0.30, (count, 1)) * rng.normal(1, 0.08, (count, 3))
    tint *= (0.30 + 0.70 * np.clip((swell - 0.62) / 0.36, 0, 1))[:, None]
    scene.scatter(places, normals, size * rng.uniform(0.6, 1.3, count), np.clip(tint, 0.003, 1))


def add_boulder(scene: Scene, middle: Array, size: float, rng: np.random.Generator) -> None:
    """Add a rock: a ball of few facets with its corners knocked about."""
    rings = []
    for rise, reach in ((-0.8, 0.7), (-0.1, 1.0), (0.5, 0.75), (0.8, 0.25)):
        turns = np.linspace(0, 2 * np.pi, 8)[:-1] + rng.normal(0, 0.15, 7)
        ring = np.stack([reach * np.cos(turns), np.full(7, rise), reach * np.sin(turns)], axis=-1)
        rings.append(middle + size * ring * rng.normal(1, 0.13, (7, 1)))
    tint = rgb("85796a") * rng.uniform(0.6, 1.15)
    for low, top in pairwise(rings):
        for i in range(7):
            k = (i + 1) % 7
            scene.add(np.stack([low[i], low[k], top[k]]), STONE, tint)
            scene.add(np.stack([low[i], top[k], top[i]]), STONE, tint)
    scene.add(rings[-1], STONE, tint)


def add_greenery(scene: Scene, rng: np.random.Generator) -> None:
    """Add cypresses by the church, broad crowns between the houses and shrubs on the slopes."""
    cypresses = [(3, 96), (4.6, 97.5), (1.4, 98), (17.5, 92), (25, 108), (27, 109), (-4, 90)]
    for x, z in [*cypresses, (40, 104), (33, 91)]:
        tall = rng.uniform(4.2, 6.0)
        middle = place(x, height_at(x, z) + tall * 0.9, z)
        add_tree(scene, middle, place(1.25, tall, 1.25), ("2c4a28", 0.12), rng)
    for _ in range(56):
        x, z, size = rng.uniform(-16, 60), rng.uniform(79, 130), rng.uniform(1.8, 3.4)
        middle = place(x, height_at(x, z) + size * 1.1, z)
        code = str(rng.choice(["4f6a30", "5f7336", "3f5a2e", "6d7a44"]))
        add_tree(scene, middle, place(size * 1.15, size, size * 1.1), (code, 0.12), rng)
    for _ in range(300):
        x, z, size = rng.uniform(-26, 70), rng.uniform(78, 150), rng.uniform(0.6, 1.6)
        if height_at(x, z) > 0.4:
            middle = place(x, height_at(x, z) + size * 0.3, z)
            add_tree(scene, middle, place(size * 1.4, size, size), ("5f6c34", 0.13), rng)


def add_flowers(scene: Scene, rng: np.random.Generator, *, front: float, top: float) -> None:
    """Add pots of geraniums and oleander along the house fronts."""
    for x in rng.uniform(-14, 50, 30):
        size = rng.uniform(0.3, 0.75)
        middle = place(float(x), top + size * 0.9, front - rng.uniform(0.3, 0.9))
        add_tree(scene, middle, place(size, size, size), ("4f6a34", 0.09), rng)
        code = str(rng.choice(["c8324a", "e0607a", "e8a040"]))
        add_tree(scene, middle, place(size, size, size) * 1.04, (code, 0.22), rng)
