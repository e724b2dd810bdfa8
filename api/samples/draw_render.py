"""A small software renderer: triangles and leaves in, the nearest one at each pixel out.

It knows places and sizes in metres (x right, y up from the water, z away from the eye) and nothing
about colour or light.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from api.samples.draw_noise import Array

Ids = npt.NDArray[np.int32]
NOTHING = -1
NEAR_METRES = 3.0


@dataclass
class Scene:
    """Surfaces under construction, a list entry for each `add` or `scatter`."""

    corners: list[Array] = field(default_factory=list)
    materials: list[Ids] = field(default_factory=list)
    colours: list[Array] = field(default_factory=list)
    leaves: list[tuple[Array, Array, Array, Array]] = field(default_factory=list)

    def add(self, outline: Array, material: int, colour: Array) -> None:
        """Add a convex polygon, (n, 3), as a fan of triangles."""
        fan = [np.stack([outline[0], *outline[i : i + 2]]) for i in range(1, len(outline) - 1)]
        self.corners.append(np.asarray(fan, np.float32))
        self.materials.append(np.full(len(fan), material, np.int32))
        self.colours.append(np.broadcast_to(colour, (len(fan), 3)).astype(np.float32))

    def scatter(self, places: Array, normals: Array, sizes: Array, colours: Array) -> None:
        """Add leaves: small round dabs that turn towards the eye, sizes in metres."""
        self.leaves.append((places, normals, sizes, colours))


@dataclass(frozen=True)
class Surfaces:
    """A finished scene; an id counts the triangles first and the leaves after them."""

    corners: Array
    leaves: Array
    sizes: Array
    normals: Array
    materials: Ids
    colours: Array


def finish(scene: Scene, leaf_material: int) -> Surfaces:
    """Return the scene as arrays, ready to be seen."""
    corners = np.concatenate(scene.corners)
    edges = corners[:, 1:] - corners[:, :1]
    normals = np.cross(edges[:, 0], edges[:, 1])
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True) + 1e-9
    places, directions, sizes, tints = (
        np.concatenate(part) for part in zip(*scene.leaves, strict=True)
    )
    materials = [*scene.materials, np.full(len(places), leaf_material, np.int32)]
    return Surfaces(
        corners=corners,
        leaves=places,
        sizes=sizes,
        normals=np.concatenate([normals, directions]).astype(np.float32),
        materials=np.concatenate(materials),
        colours=np.concatenate([*scene.colours, tints]).astype(np.float32),
    )


@dataclass(frozen=True)
class Eye:
    """A camera that looks along z, its verticals kept upright; lengths in pixels but `height`."""

    width: int
    rows: int
    focal: float
    horizon: float
    height: float
    mirrored: bool = False  # sees the scene as still water shows it

    def project(self, places: Array) -> Array:
        """Return column, row and nearness (1 / metres) of places (..., 3)."""
        x, y, z = places[..., 0], places[..., 1], np.maximum(places[..., 2], 0.01)
        if self.mirrored:
            y = -np.maximum(y, 0)
        column = self.width / 2 + self.focal * x / z
        row = self.horizon - self.focal * (y - self.height) / z
        return np.asarray(np.stack([column, row, 1 / z], axis=-1), np.float32)

    def place(self, column: Array, row: Array, nearness: Array) -> Array:
        """Return where in the scene a pixel of a known nearness lies, (..., 3)."""
        z = 1 / nearness
        x = (column - self.width / 2) * z / self.focal
        y = self.height - (row - self.horizon) * z / self.focal
        return np.asarray(np.stack([x, -y if self.mirrored else y, z], axis=-1), np.float32)


@dataclass(frozen=True)
class Sun:
    """A lamp at infinity with a square shadow map around a centre."""

    towards: Array
    centre: Array
    reach: float
    size: int

    def project(self, places: Array) -> Array:
        """Return column, row and nearness (metres towards the sun) of places (..., 3)."""
        right = np.cross(np.array([0, 1, 0], np.float32), self.towards)
        right /= np.linalg.norm(right)
        up = np.cross(self.towards, right)
        offset = places - self.centre
        scale = self.size / (2 * self.reach)
        column, row = offset @ right * scale, offset @ up * scale
        half = self.size / 2
        return np.asarray(np.stack([column + half, row + half, offset @ self.towards], -1))

    def shadow(self, places: Array, nearest: Array, bias: Array) -> Array:
        """Return how much sun reaches places (n, 3), in [0, 1], its edges softened."""
        column, row, near = np.moveaxis(self.project(places), -1, 0)
        lit = np.zeros(len(places), np.float32)
        taps = [(0.3, 1.1), (-1.1, 0.4), (1.2, -0.5), (-0.4, -1.2), (0.0, 0.0)]
        for dx, dy in taps:
            i = np.clip(column + dx, 0, self.size - 1).astype(np.int32)
            j = np.clip(row + dy, 0, self.size - 1).astype(np.int32)
            lit += near + bias > nearest[j, i]
        return lit / np.float32(len(taps))


def see(surfaces: Surfaces, view: Eye | Sun) -> tuple[Array, Ids]:
    """Return the nearness and the id of what each pixel of a view shows."""
    rows, width = (view.rows, view.width) if isinstance(view, Eye) else (view.size, view.size)
    lowest = 0.0 if isinstance(view, Eye) else -1e6
    nearest = np.full((rows, width), lowest, np.float32)
    ids = np.full((rows, width), NOTHING, np.int32)
    corners = view.project(surfaces.corners)
    for number in np.flatnonzero(surfaces.corners[..., 2].min(axis=1) > NEAR_METRES).tolist():
        _fill_triangle(nearest, ids, corners[number], number)
    dabs = view.project(surfaces.leaves)
    scale = view.focal * dabs[:, 2] if isinstance(view, Eye) else view.size / (2 * view.reach)
    _stamp_leaves(nearest, ids, dabs, np.asarray(surfaces.sizes * scale, np.float32))
    offset = np.int32(len(corners))
    ids[ids < NOTHING] = offset - 2 - ids[ids < NOTHING]
    return nearest, ids


def _fill_triangle(nearest: Array, ids: Ids, corners: Array, number: int) -> None:
    (x0, y0, n0), (x1, y1, n1), (x2, y2, n2) = corners.tolist()
    rows, width = nearest.shape
    left, right = max(int(min(x0, x1, x2)), 0), min(int(max(x0, x1, x2)) + 1, width)
    top, low = max(int(min(y0, y1, y2)), 0), min(int(max(y0, y1, y2)) + 1, rows)
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if left >= right or top >= low or abs(area) < 1e-5:
        return
    dx = np.arange(left, right, dtype=np.float32) + (0.5 - x0)
    dy = (np.arange(top, low, dtype=np.float32) + (0.5 - y0))[:, None]
    w1 = (dx * (y2 - y0) - dy * (x2 - x0)) / area
    w2 = (dy * (x1 - x0) - dx * (y1 - y0)) / area
    near = n0 + w1 * (n1 - n0) + w2 * (n2 - n0)
    window = nearest[top:low, left:right]
    inside = (w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1) & (near > window)
    window[inside] = near[inside]
    ids[top:low, left:right][inside] = number


def _stamp_leaves(nearest: Array, ids: Ids, dabs: Array, radii: Array) -> None:
    """Stamp leaves as discs; leaf k is written as id -2 - k, to be told from a triangle."""
    order = np.argsort(dabs[:, 2], kind="stable")  # the last write wins: nearest at the end
    column, row, near = dabs[order].T
    radii, numbers = radii[order], (-2 - order).astype(np.int32)
    reach = int(np.ceil(min(float(radii.max()), 7)))
    rows, width = nearest.shape
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            i, j = (column + dx).astype(np.int32), (row + dy).astype(np.int32)
            keep = np.hypot(dx, dy) <= np.maximum(radii, 0.5)
            keep &= (i >= 0) & (j >= 0) & (i < width) & (j < rows)
            i, j, depth, number = i[keep], j[keep], near[keep], numbers[keep]
            front = depth > nearest[j, i]
            nearest[j[front], i[front]] = depth[front]
            ids[j[front], i[front]] = number[front]
