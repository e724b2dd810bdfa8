"""Lay out the scene of the content picture: a hill village around its harbour."""

import numpy as np

from api.samples.draw_boats import add_fleet, add_jetty
from api.samples.draw_build import (
    AWNING,
    LAMPLIGHT,
    PAINT,
    PLASTER,
    STONE,
    UP,
    WOOD,
    Plan,
    add_arch,
    add_box,
    add_house,
    add_lathe,
    add_spire,
    place,
)
from api.samples.draw_nature import add_boulder, add_flowers, add_greenery, add_hill, height_at
from api.samples.draw_noise import Array, rgb
from api.samples.draw_render import Scene

WALLS = ("e8c07a", "d98e62", "f0dcae", "e6a88a", "f2e6cc", "cf7a55", "e9cf8f", "d8b4a0", "c9d2cc")
QUAY_Z, QUAY_TOP = 62.0, 1.6


def build_village() -> Scene:
    """Return the scene, ready to be finished."""
    rng = np.random.default_rng(8)
    scene = Scene()
    add_hill(scene)
    add_quay(scene, rng)
    add_streets(scene, rng)
    add_church(scene)
    add_breakwater(scene, rng)
    add_fleet(scene)
    add_jetty(scene, rng)
    add_greenery(scene, rng)
    add_flowers(scene, rng, front=QUAY_Z + 7.5, top=QUAY_TOP)
    return scene


def add_quay(scene: Scene, rng: np.random.Generator) -> None:
    """Add the quay wall with its lamps, crates and bollards."""
    add_box(scene, Plan(31, 0, QUAY_Z + 4.5, 94, 9, QUAY_TOP), STONE, rgb("b9a486"))
    add_box(scene, Plan(31, QUAY_TOP, QUAY_Z + 0.3, 94, 0.6, 0.18), STONE, rgb("d9c7a6"))
    for x in np.arange(-14, 60, 3.4):
        add_box(scene, Plan(x, QUAY_TOP, QUAY_Z + 0.8, 0.3, 0.3, 0.6), PAINT, rgb("2b2a2c"))
    for x in np.arange(-12, 60, 9.5):
        add_box(scene, Plan(x, QUAY_TOP, QUAY_Z + 1.6, 0.12, 0.12, 4.2), PAINT, rgb("22282a"))
        add_box(
            scene, Plan(x, QUAY_TOP + 4.2, QUAY_Z + 1.6, 0.4, 0.4, 0.55), LAMPLIGHT, rgb("ffd48a")
        )
    for _ in range(26):
        x, size = rng.uniform(-13, 45), rng.uniform(0.5, 1.1)
        plan = Plan(
            x, QUAY_TOP, QUAY_Z + rng.uniform(1.8, 4), size, size, size, rng.uniform(0, 1.5)
        )
        add_box(scene, plan, WOOD, rgb("a67c4e") * rng.uniform(0.5, 1.2))


def add_streets(scene: Scene, rng: np.random.Generator) -> None:
    """Add the row along the quay, with awnings, and looser rows up the hill."""
    x = -14.0
    while x < 58:
        width, height = rng.uniform(5.0, 8.0), rng.uniform(5.8, 9.4)
        depth = rng.uniform(7, 9)
        colour = rgb(str(rng.choice(WALLS))) * rng.uniform(0.85, 1.05)
        plan = Plan(x + width / 2, QUAY_TOP, QUAY_Z + 7.5 + depth / 2, width, depth, height)
        add_house(scene, plan, colour, rng)
        if rng.random() < 0.55:
            add_awning(scene, plan, rgb(str(rng.choice(["b8402e", "2f6b5f", "d9a441", "2d5c86"]))))
        x += width + (0.05 if rng.random() < 0.7 else 2.4)
    for z in (85, 94, 103, 113, 123):
        x = -12.0 + (z - 85) * 0.55
        while x < 62:
            width = rng.uniform(5, 8)
            y = height_at(x, z)
            if rng.random() < 0.80 and not (3 < x < 17 and 92 < z < 112):
                turn, size = rng.normal(0, 0.28), rng.uniform(4.5, 8.5)
                plan = Plan(
                    x, y - 0.5, z + rng.uniform(-2, 2), width, rng.uniform(6, 8), size, turn
                )
                add_house(scene, plan, rgb(str(rng.choice(WALLS))), rng)
            x += width + rng.uniform(0.6, 4.5)


def add_awning(scene: Scene, plan: Plan, colour: Array) -> None:
    """Add a striped cloth over the front door."""
    wall = plan.walls()[0]
    top = wall.panel((0.7, 2.75, wall.width - 1.4, 0), 0.1)[:2]
    low = wall.panel((0.7, 2.05, wall.width - 1.4, 0), 1.7)[:2]
    scene.add(np.stack([low[0], low[1], top[1], top[0]]), AWNING, colour)
    scene.add(np.stack([low[0], low[1], low[1] - UP * 0.3, low[0] - UP * 0.3]), AWNING, colour)


def add_church(scene: Scene) -> None:
    """Add the bell tower, with its nave behind."""
    x, z = 10.0, 99.0
    y = height_at(x, z) - 1
    tower = Plan(x, y, z, 5.2, 5.2, 20, 0.22)
    add_box(scene, tower, STONE, rgb("d6b183"))
    for level in (7.0, 13.4, 19.4):
        band = Plan(x, y + level, z, 5.7, 5.7, 0.5, 0.22)
        add_box(scene, band, STONE, rgb("eadbb8"))
    walls = tower.walls()
    for wall in walls:
        for left in (0.9, 2.95):
            add_arch(scene, wall, (left, 14.5, 1.35, 2.6))
        add_arch(scene, wall, (2.25, 9.0, 0.7, 1.6))
    lantern = Plan(x, y + 20, z, 3.6, 3.6, 2.6, 0.22)
    add_box(scene, lantern, PLASTER, rgb("efdcb4"))
    for wall in lantern.walls():
        add_arch(scene, wall, (1.2, 0.5, 1.2, 0.9))
    add_spire(scene, lantern.walls(), 2.5, 7.0)
    add_box(scene, Plan(x, y + 26.6, z, 0.12, 0.12, 2.4), PAINT, rgb("3a2f28"))
    nave = Plan(x + 9, y - 1, z + 5, 13, 9, 10, 0.22)
    add_house(scene, nave, rgb("eed9b0"), np.random.default_rng(3))


def add_breakwater(scene: Scene, rng: np.random.Generator) -> None:
    """Add boulders in a line to the left, and the lighthouse at their end."""
    for _ in range(150):
        middle = place(rng.uniform(-52, -28), rng.uniform(-0.4, 0.9), 100 + rng.normal(0, 1.7))
        add_boulder(scene, middle, rng.uniform(0.7, 1.5), rng)
    foot = place(-37, 0.9, 100)
    for profile, skin, code in (
        ([(3.0, 0), (3.0, 1.4), (2.0, 1.4)], STONE, "d8ccb4"),
        ([(2.0, 1.4), (1.82, 4.2)], PAINT, "efe6d4"),
        ([(1.82, 4.2), (1.64, 7.2)], PAINT, "b8402e"),
        ([(1.64, 7.2), (1.45, 10.5)], PAINT, "efe6d4"),
        ([(2.0, 10.5), (2.0, 10.9), (0.95, 10.9)], PAINT, "d8ccb4"),
        ([(0.95, 10.9), (0.95, 12.6)], LAMPLIGHT, "ffd48a"),
        ([(1.35, 12.6), (0.05, 14.2)], PAINT, "b8402e"),
    ):
        add_lathe(scene, foot, profile, skin, rgb(code))
