"""Shapes that the village is built from: boxes, houses and towers."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from api.samples.draw_noise import Array, rgb
from api.samples.draw_render import Scene

PLASTER, TILES, STONE, WOOD, GLASS, LEAF, GRASS, PAINT, AWNING, LAMPLIGHT = range(10)
UP = np.array([0, 1, 0], np.float32)


def place(x: float, y: float, z: float) -> Array:
    """Return a place, (3,)."""
    return np.array([x, y, z], np.float32)


@dataclass(frozen=True)
class Wall:
    """An upright rectangle: its lower left corner, and unit vectors along it and out of it."""

    corner: Array
    along: Array
    out: Array
    width: float
    height: float

    def panel(self, box: tuple[float, float, float, float], lift: float = 0) -> Array:
        """Return the corners of (left, low, width, height) on the wall, lifted off it."""
        left, low, width, height = box
        start = self.corner + self.along * left + UP * low + self.out * lift
        right, top = self.along * width, UP * height
        return np.stack([start, start + right, start + right + top, start + top])


@dataclass(frozen=True)
class Plan:
    """Where a building stands: the middle of its floor, its size and its turn in radians."""

    x: float
    y: float
    z: float
    width: float
    depth: float
    height: float
    turn: float = 0

    def walls(self) -> list[Wall]:
        """Return front, right, back and left wall."""
        east = place(np.cos(self.turn), 0, np.sin(self.turn))
        north = place(-np.sin(self.turn), 0, np.cos(self.turn))
        middle, walls = place(self.x, self.y, self.z), []
        half_w, half_d = self.width / 2, self.depth / 2
        sides = [(east, -north, half_w, half_d), (north, east, half_d, half_w)]
        sides += [(-east, north, half_w, half_d), (-north, -east, half_d, half_w)]
        for along, out, half, reach in sides:
            corner = middle - along * half + out * reach
            walls.append(Wall(corner, along, out, 2 * half, self.height))
        return walls


def add_box(scene: Scene, plan: Plan, material: int, colour: Array) -> None:
    """Add four walls and a flat top."""
    walls = plan.walls()
    for wall in walls:
        scene.add(wall.panel((0, 0, wall.width, wall.height)), material, colour)
    scene.add(np.stack([wall.corner + UP * plan.height for wall in walls]), material, colour)


def add_house(scene: Scene, plan: Plan, colour: Array, rng: np.random.Generator) -> None:
    """Add a house: plaster walls with shuttered windows under a gabled roof of tiles."""
    walls = plan.walls()
    shutter = rgb(str(rng.choice(["2f5d50", "3c6e8a", "6b4a32", "7d8f6a", "8c3b2e", "e4dcc8"])))
    for wall in walls:
        scene.add(wall.panel((0, -8, wall.width, wall.height + 8)), PLASTER, colour)
        add_windows(scene, wall, shutter, rng)
    add_gable_roof(scene, walls, plan.height, float(rng.uniform(0.38, 0.52)), rng)
    for index in (1, 3):  # the triangle under the roof
        corners = walls[index].panel((0, plan.height, walls[index].width, 0))
        peak = (corners[0] + corners[1]) / 2 + UP * walls[index].width * 0.5 * 0.44
        scene.add(np.stack([corners[0], corners[1], peak]), PLASTER, colour)
    if rng.random() < 0.75:
        aside = float(rng.uniform(-0.3, 0.3)) * plan.width
        top = plan.height + plan.depth * 0.5 * 0.44
        chimney = Plan(plan.x + aside, plan.y + top - 0.9, plan.z - 0.5, 0.7, 0.6, 1.7, plan.turn)
        add_box(scene, chimney, PLASTER, rgb("c9a88a"))


def add_gable_roof(
    scene: Scene, walls: list[Wall], height: float, pitch: float, rng: np.random.Generator
) -> None:
    """Add two slopes of tiles whose eaves overhang the walls, with a dark edge below."""
    tint = rgb("a8603f") * rng.uniform(0.75, 1.2) * rng.uniform(0.92, 1.08, 3)
    rise = walls[1].width / 2 * 0.44 + 0.12
    for wall in (walls[0], walls[2]):
        inward = -wall.out * (walls[1].width / 2)
        eaves = wall.panel((-0.35, height, wall.width + 0.7, 0))[:2]
        ridge = eaves + inward + UP * rise
        drop = (wall.out - UP * rise / (walls[1].width / 2)) * 0.5
        outline = np.stack([eaves[0] + drop, eaves[1] + drop, ridge[1], ridge[0]])
        scene.add(outline, TILES, tint)
        edge = np.stack([outline[0], outline[1], outline[1] - UP * 0.16, outline[0] - UP * 0.16])
        scene.add(edge, WOOD, rgb("6b4128") * (0.6 + pitch))


def add_windows(scene: Scene, wall: Wall, shutter: Array, rng: np.random.Generator) -> None:
    """Add rows of windows, some shuttered, some lit, and doors on the lowest floor."""
    floors, columns = int(wall.height / 2.7), max(int(wall.width / 2.3), 1)
    for floor in range(floors):
        for column in range(columns):
            if rng.random() < 0.12:
                continue
            left = (column + 0.5) * wall.width / columns - 0.45
            low = floor * (wall.height - 0.5) / floors + 0.95
            door = floor == 0 and rng.random() < 0.4
            box = (left, low - 0.95, 1.0, 2.15) if door else (left, low, 0.9, 1.35)
            add_window(scene, wall, box, None if door else shutter, rng)


def add_window(
    scene: Scene,
    wall: Wall,
    box: tuple[float, float, float, float],
    shutter: Array | None,
    rng: np.random.Generator,
) -> None:
    """Add one opening with its surround; a door has no shutters."""
    left, low, width, height = box
    frame = (left - 0.12, low - 0.1, width + 0.24, height + 0.22)
    scene.add(wall.panel(frame, 0.03), PAINT, rgb("d8c8ac"))
    if shutter is None:
        scene.add(wall.panel(box, 0.05), WOOD, rgb(str(rng.choice(["4a3324", "2e4a44", "5a2a20"]))))
        return
    state = rng.random()
    if state < 0.22:
        scene.add(wall.panel(box, 0.05), WOOD, shutter)
        return
    lamp = state > 0.90
    pane = rgb("ffc46a") if lamp else rgb("1c2a33")
    scene.add(wall.panel(box, 0.05), LAMPLIGHT if lamp else GLASS, pane)
    scene.add(wall.panel((left + width / 2 - 0.03, low, 0.06, height), 0.06), PAINT, rgb("c8b89c"))
    scene.add(wall.panel((left - 0.1, low - 0.16, width + 0.2, 0.12), 0.16), STONE, rgb("cdbb9d"))
    for side in (left - 0.56, left + width + 0.06):
        scene.add(wall.panel((side, low, 0.5, height), 0.09), WOOD, shutter)


def add_lathe(
    scene: Scene, foot: Array, profile: list[tuple[float, float]], skin: int, colour: Array
) -> None:
    """Add a round tower: rings of (radius, height) joined by many faces."""
    turns = np.linspace(0, 2 * np.pi, 33)
    for (r0, y0), (r1, y1) in pairwise(profile):
        for a, b in pairwise(turns):
            low = [place(r0 * np.cos(t), y0, r0 * np.sin(t)) + foot for t in (a, b)]
            top = [place(r1 * np.cos(t), y1, r1 * np.sin(t)) + foot for t in (b, a)]
            scene.add(np.stack([*low, *top]), skin, colour)


def add_spire(scene: Scene, walls: list[Wall], foot: float, rise: float) -> None:
    """Add a pyramid of tiles over four walls."""
    ring = np.stack([wall.corner + UP * foot for wall in walls])
    middle = ring.mean(axis=0)
    ring = middle + (ring - middle) * 1.14
    for i in range(4):
        scene.add(np.stack([ring[i], ring[(i + 1) % 4], middle + UP * rise]), TILES, rgb("a9573a"))


def add_arch(scene: Scene, wall: Wall, box: tuple[float, float, float, float]) -> None:
    """Add a dark opening with a round head on a wall."""
    left, low, width, height = box
    turns = np.linspace(0, np.pi, 9)
    sides = [(left, low), (left + width, low)]
    head = [
        (left + width / 2 * (1 + np.cos(t)), height + low + width / 2 * np.sin(t)) for t in turns
    ]
    for grow, lift, material, code in ((1.25, 0.04, STONE, "e3d2b0"), (1.0, 0.07, PAINT, "2a2022")):
        middle = left + width / 2
        points = [
            wall.corner + wall.along * (middle + (u - middle) * grow) + UP * v + wall.out * lift
            for u, v in sides + head
        ]
        scene.add(np.stack(points), material, rgb(code))
