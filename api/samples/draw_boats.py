"""Build the harbour's boats, each from a planked hull, and the jetty they tie up to."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from api.samples.draw_build import GLASS, PAINT, UP, WOOD, Plan, add_box, place
from api.samples.draw_noise import Array, rgb
from api.samples.draw_render import Scene


@dataclass(frozen=True)
class Boat:
    """Where a boat floats, which way its bow points (radians), and its paint."""

    x: float
    z: float
    heading: float
    length: float
    planks: str
    rail: str

    def at(self, ahead: float, aside: float, up: float) -> Array:
        """Return the place that lies so many metres ahead, aside and up from its middle."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        return place(self.x + cos * ahead - sin * aside, up, self.z + sin * ahead + cos * aside)

    def plan(self, ahead: float, up: float, size: tuple[float, float, float]) -> Plan:
        """Return the plan of a box on the midline, (along, across, tall)."""
        foot = self.at(ahead, 0, up)
        return Plan(float(foot[0]), up, float(foot[2]), *size, self.heading)


def rib(boat: Boat, station: float) -> list[tuple[float, float]]:
    """Return half-breadth and height of keel, turn, rail and gunwale; station 1 is the bow."""
    if station > 0.35:
        fullness = max(1 - ((station - 0.35) / 0.65) ** 2.6, 0)
    else:
        fullness = 1 - 0.3 * (1 - station / 0.35) ** 2
    beam = boat.length * 0.17 * fullness
    sheer = boat.length * (0.10 + 0.2 * (station - 0.3) ** 2)
    profile = ((0.55, -0.02), (0.88, 0.35), (1.0, 0.80), (1.04, 1.0))
    return [(beam * breadth, sheer * height) for breadth, height in profile]


def add_hull(scene: Scene, boat: Boat, *, floor: float) -> None:
    """Add planks, rail, stern, and boards inside at `floor`, a fraction of the hull's height."""
    tints = (rgb(boat.planks) * 0.55, rgb(boat.planks), rgb(boat.rail))
    for s0, s1 in pairwise(np.linspace(0, 1, 17).tolist()):
        near, far = rib(boat, s0), rib(boat, s1)
        a0, a1 = (s0 - 0.5) * boat.length, (s1 - 0.5) * boat.length
        for sign in (-1, 1):
            back = [boat.at(a0, sign * b, y) for b, y in near]
            front = [boat.at(a1, sign * b, y) for b, y in far]
            for k, tint in enumerate(tints):
                scene.add(np.stack([back[k], front[k], front[k + 1], back[k + 1]]), WOOD, tint)
        boards = [(a0, near[3], -1), (a1, far[3], -1), (a1, far[3], 1), (a0, near[3], 1)]
        deck = [boat.at(a, 0.93 * side * b, y * floor) for a, (b, y), side in boards]
        scene.add(np.stack(deck), WOOD, rgb("8f6c46"))
    stern = rib(boat, 0)
    outline = [(-b, y) for b, y in stern] + stern[::-1]
    scene.add(
        np.stack([boat.at(-boat.length / 2, b, y) for b, y in outline]), WOOD, rgb(boat.planks)
    )


def add_rowing_boat(scene: Scene, boat: Boat) -> None:
    """Add an open boat with thwarts and a pair of oars laid in it."""
    add_hull(scene, boat, floor=0.35)
    for station in (0.16, 0.42, 0.66):
        beam, sheer = rib(boat, station)[2]
        a = (station - 0.5) * boat.length
        corners = [(a - 0.14, -beam), (a + 0.14, -beam), (a + 0.14, beam), (a - 0.14, beam)]
        bench = np.stack([boat.at(*corner, sheer * 0.92) for corner in corners])
        scene.add(bench, WOOD, rgb("d2a468"))
        scene.add(
            np.stack([bench[0], bench[3], bench[3] - UP * 0.1, bench[0] - UP * 0.1]),
            WOOD,
            rgb("8a6238"),
        )
    for side in (-0.25, 0.2):
        ends = [
            boat.at(a, side + w, 0.62)
            for a, w in ((-1.6, 0), (1.0, 0.1), (1.0, 0.18), (-1.6, 0.08))
        ]
        scene.add(np.stack(ends), WOOD, rgb("e0bd84"))


def add_fishing_boat(scene: Scene, boat: Boat) -> None:
    """Add a decked boat with a wheelhouse, a mast, its boom and its stays."""
    add_hull(scene, boat, floor=0.85)
    plan = boat.plan(-1.5, 0.6, (1.9, 1.4, 1.75))
    add_box(scene, plan, PAINT, rgb("e9dcc0"))
    for wall in plan.walls():
        scene.add(wall.panel((0.2, 1.0, wall.width - 0.4, 0.5), 0.03), GLASS, rgb("18242c"))
        scene.add(wall.panel((0, 0.55, wall.width, 0.14), 0.03), PAINT, rgb(boat.planks))
    add_box(scene, boat.plan(-1.5, 2.35, (2.3, 1.8, 0.14)), PAINT, rgb(boat.planks))
    foot = boat.at(0.5, 0, 0.6)
    add_box(scene, boat.plan(0.5, 0.6, (0.14, 0.14, 7.0)), WOOD, rgb("9a6b42"))
    top = foot + UP * 6.6
    add_line(scene, top, boat.at(boat.length / 2, 0, 1.4))
    add_line(scene, top, boat.at(-boat.length / 2, 0, 1.2))
    add_line(scene, foot + UP * 2.2, boat.at(-2.4, 0.3, 4.4), thickness=0.1)


def add_line(scene: Scene, start: Array, end: Array, *, thickness: float = 0.035) -> None:
    """Add a taut rope, or a spar, as a thin upright strip."""
    rise = UP * thickness
    scene.add(np.stack([start, end, end + rise, start + rise]), WOOD, rgb("5a4836"))


def add_sailing_boat(scene: Scene, boat: Boat) -> None:
    """Add a boat under a pale mainsail and a rust-red jib, both cut with a curve."""
    add_hull(scene, boat, floor=0.8)
    tall = boat.length * 1.15
    foot = boat.at(0.4, 0, 0.6)
    add_box(scene, boat.plan(0.4, 0.6, (0.16, 0.16, tall)), WOOD, rgb("b08254"))
    head = foot + UP * (tall - 0.4)
    for clew, code, low in ((-0.47, "f6e6c4", 1.2), (0.50, "d4582c", 1.0)):
        tack, corner = foot + UP * low, boat.at(clew * boat.length, 0.6, 1.5)
        belly = boat.at(clew, 0.8, 0) - boat.at(0, 0, 0)
        steps = np.linspace(0, 1, 9)[:, None]
        leech = head * (1 - steps) + corner * steps + belly * np.sin(np.pi * steps) * 1.4
        scene.add(np.stack([tack, *leech]), PAINT, rgb(code))


def add_jetty(scene: Scene, rng: np.random.Generator) -> None:
    """Add a plank jetty that leads in from the lower right, on paired piles."""
    for z in np.arange(12, 44, 0.42):
        x, turn = 9.2 - 0.09 * z + rng.normal(0, 0.05), rng.normal(-0.09, 0.01)
        plan = Plan(x, 0.95, z, 2.6, 0.37, 0.09, turn)
        add_box(scene, plan, WOOD, rgb("a98a66") * rng.uniform(0.5, 1.15))
    for z in np.arange(13, 44.5, 3.4):
        for side in (-1.3, 1.3):
            plan = Plan(9.2 - 0.09 * z + side, 0, z, 0.26, 0.26, rng.uniform(1.5, 2.1), 0.4)
            add_box(scene, plan, WOOD, rgb("6e5238") * rng.uniform(0.7, 1.1))
        add_box(scene, Plan(9.2 - 0.09 * z, 0.72, z, 2.7, 0.2, 0.2), WOOD, rgb("5a4430"))


def add_fleet(scene: Scene) -> None:
    """Add the boats, the rowing boats nearest to the eye."""
    add_rowing_boat(scene, Boat(-6.4, 26, 2.72, 5.6, "f1e8d6", "b5382a"))
    add_rowing_boat(scene, Boat(-1.6, 38, 0.45, 5.6, "2c6a86", "f1e6cc"))
    for x, z, heading, code in (
        (-9, 56, 0.15, "b5382a"),
        (1.5, 57, 3.0, "ece2cc"),
        (11, 56, 0.1, "2d6f6a"),
        (20, 57, 3.2, "d9a441"),
        (28.5, 56, 0, "2d5c86"),
    ):
        add_fishing_boat(scene, Boat(x, z, heading, 7.5, code, "f4ead4"))
    add_sailing_boat(scene, Boat(-25, 84, 0.35, 9, "f4efe2", "24476b"))
