"""Draw the content picture: a hill village and its harbour at golden hour."""

import numpy as np
from PIL import Image

from api.samples.draw_build import GLASS, LAMPLIGHT, LEAF
from api.samples.draw_noise import Array, blur, fractal_noise, mix, smoothstep
from api.samples.draw_render import NOTHING, Eye, Ids, Sun, Surfaces, finish, see
from api.samples.draw_texture import texture
from api.samples.draw_village import build_village

WIDTH, HEIGHT, SCALE = 768, 576, 2
TOWARDS_SUN = np.array([-0.80, 0.42, -0.42], np.float32)
TOWARDS_SUN /= np.linalg.norm(TOWARDS_SUN)
SUNLIGHT = np.array([3.5, 2.0, 0.92], np.float32)
SKYLIGHT = np.array([0.24, 0.33, 0.54], np.float32)
BOUNCE = np.array([0.30, 0.20, 0.12], np.float32)


def draw_content() -> Image.Image:
    """Return the scene, 768 × 576."""
    surfaces = finish(build_village(), LEAF)
    sun = Sun(TOWARDS_SUN, np.array([12, 8, 80], np.float32), 72, 2300)
    shadows, _ = see(surfaces, sun)
    eye = Eye(WIDTH * SCALE, HEIGHT * SCALE, 822.0 * SCALE, 338.0 * SCALE, 5.0)
    still = Eye(WIDTH, HEIGHT, 822.0, 338.0, 5.0, mirrored=True)
    reflection, _ = picture(surfaces, still, sun, shadows)
    image, nearest = picture(surfaces, eye, sun, shadows)
    image = add_water(image, nearest, eye, reflection, (sun, shadows))
    return develop(image)


def picture(surfaces: Surfaces, eye: Eye, sun: Sun, shadows: Array) -> tuple[Array, Array]:
    """Return the light (H, W, 3) and nearness that an eye sees, the water left out."""
    nearest, ids = see(surfaces, eye)
    row, column = np.mgrid[0 : eye.rows, 0 : eye.width].astype(np.float32) + 0.5
    image = sky(column, row, eye)
    hit = ids != NOTHING
    places = eye.place(column[hit], row[hit], nearest[hit])
    open_sky = openness(nearest, eye)[hit]
    lit = shade(surfaces, ids[hit], places, (sun, shadows), open_sky)
    haze = 1 - np.exp(-np.maximum(places[:, 2] - 50, 0) / 800)
    image[hit] = mix(lit, haze_colour(places), np.asarray(haze, np.float32))
    return image, nearest


def haze_colour(places: Array) -> Array:
    """Return the light that the air itself sends: golden towards the sun, lilac away from it."""
    side = np.asarray(places[:, 0] / places[:, 2], np.float32)
    gold, lilac = np.array([1.0, 0.72, 0.46]), np.array([0.66, 0.58, 0.62])
    return mix(np.asarray(gold), np.asarray(lilac), smoothstep(-0.5, 0.5, side))


def sky(column: Array, row: Array, eye: Eye) -> Array:
    """Return the evening sky with its clouds and far mountains, (H, W, 3)."""
    side = (column - eye.width / 2) / eye.focal
    rise = (eye.horizon - row) / eye.focal * (-1 if eye.mirrored else 1)
    rise = np.asarray(np.maximum(rise, 0.0), np.float32)
    low, middle, high = (
        np.array(c, np.float32)
        for c in ([1.30, 0.72, 0.34], [0.80, 0.62, 0.52], [0.13, 0.27, 0.52])
    )
    image = mix(low, middle, smoothstep(0.0, 0.17, rise))
    image = mix(image, high, smoothstep(0.08, 0.48, rise))
    glow = np.exp(-np.hypot(side + 0.62, (rise - 0.06) * 1.5) * 2.9)
    image += glow[..., None] * np.array([1.5, 0.74, 0.22], np.float32)
    image = add_clouds(image, side, rise)
    return add_mountains(image, side, rise)


def add_clouds(image: Array, side: Array, rise: Array) -> Array:
    """Lay a deck of clouds in perspective, lit from the left below."""
    far = 1 / (rise + 0.11)
    x, y = side * far * 1.5, far * 1.25
    warp = fractal_noise(x * 0.8, y * 0.8, seed=91, octaves=3)
    density = fractal_noise(x + 1.6 * warp, y * 1.5 + warp, seed=92, octaves=6)
    towards = fractal_noise(x - 0.16 + 1.6 * warp, y * 1.5 + 0.10 + warp, seed=92, octaves=6)
    cover = smoothstep(0.50, 0.72, density)
    lit = smoothstep(-0.05, 0.06, np.asarray(density - towards + 0.01))
    gold, shade = np.array([1.75, 1.02, 0.56], np.float32), np.array([0.40, 0.31, 0.40], np.float32)
    cloud = mix(shade, gold, np.asarray(lit * (1.0 - 0.45 * cover), np.float32))
    return mix(image, cloud, np.asarray(cover * 0.94 * smoothstep(0.0, 0.08, rise), np.float32))


def add_mountains(image: Array, side: Array, rise: Array) -> Array:
    """Stack ridges that fade with distance behind the village."""
    for depth, (height, seed) in enumerate([(0.150, 95), (0.095, 98), (0.040, 102)]):
        x = side * (3.0 + 1.6 * depth) + 4 * depth
        ridge = height * (0.35 + 1.1 * fractal_noise(x, np.zeros_like(x), seed=seed, octaves=6))
        relief = fractal_noise(x * 5 + rise * 60, rise * 120, seed=seed + 3, octaves=4)
        tone = np.array(
            [[0.44, 0.38, 0.48], [0.26, 0.26, 0.38], [0.11, 0.14, 0.21]][depth], np.float32
        )
        lit = (
            tone * (0.65 + 0.7 * relief)[..., None]
            + np.array([0.22, 0.10, 0.0]) * smoothstep(0.3, -0.6, side)[..., None]
        )
        mist = np.asarray(np.exp(-rise / 0.02) * 0.45, np.float32)
        lit = mix(np.asarray(lit, np.float32), np.array([0.95, 0.72, 0.52], np.float32), mist)
        image = mix(image, lit, smoothstep(0.0008, -0.0008, np.asarray(rise - ridge)))
    return image


def openness(nearest: Array, eye: Eye) -> Array:
    """Return how open each pixel lies to the sky, from how far it sinks behind its surroundings."""
    depth = np.minimum(1 / np.maximum(nearest, 1e-3), 260)
    scale, closed = eye.width // WIDTH, np.zeros_like(nearest)
    for radius, metres in ((2 * scale, 0.8), (7 * scale, 2.5)):
        sunk = np.clip((depth - blur(depth, radius)) / metres, 0, 1)
        closed += 0.30 * sunk
    return np.asarray(1 - np.clip(closed, 0, 0.65), np.float32)


def shade(
    surfaces: Surfaces, ids: Ids, places: Array, light: tuple[Sun, Array], open_sky: Array
) -> Array:
    """Return the light that each place sends to the eye, (n, 3)."""
    sun, shadows = light
    materials = surfaces.materials[ids]
    normals = surfaces.normals[ids].copy()
    leaf = materials == LEAF
    away = (normals * (places - np.array([0, 5, 0], np.float32))).sum(axis=-1) > 0
    normals[away & ~leaf] *= -1
    colours = texture(materials, surfaces.colours[ids], normals, places)
    facing = normals @ sun.towards
    direct = np.clip(np.where(leaf, 0.22 + 0.60 * facing, facing), 0, None)
    bias = np.where(leaf, 0.45, 0.14).astype(np.float32)
    direct = direct * sun.shadow(places + normals * 0.08, shadows, bias)
    up = (0.5 + 0.5 * normals[:, 1]) * open_sky
    bounce = (0.5 - 0.35 * normals[:, 1]) * open_sky
    light_in = direct[:, None] * SUNLIGHT + up[:, None] * SKYLIGHT + bounce[:, None] * BOUNCE
    lit = colours * light_in
    lit[materials == LAMPLIGHT] = colours[materials == LAMPLIGHT] * 1.5
    return np.asarray(lit + glint(materials, places), np.float32)


def glint(materials: Ids, places: Array) -> Array:
    """Return what window panes mirror of the sky, uneven as old glass is."""
    uneven = fractal_noise(places[:, 0] * 0.9, places[:, 1] * 0.9, seed=111, octaves=2)
    amount = np.where(materials == GLASS, smoothstep(0.35, 0.8, uneven), 0)
    return np.asarray(amount[:, None] * np.array([0.55, 0.48, 0.46]), np.float32)


def waves(x: Array, z: Array) -> tuple[Array, Array]:
    """Return the slope of the water along x and z."""
    gusts = 0.35 + 1.3 * smoothstep(0.38, 0.68, fractal_noise(x / 16, z / 9, seed=121, octaves=3))
    step = np.float32(0.05)
    slopes = []
    for dx, dz in ((step, 0), (0, step)):
        rise = np.zeros_like(x)
        for size, height, seed in ((2.6, 0.055, 122), (0.85, 0.017, 123), (0.3, 0.004, 124)):
            calm = np.exp(-z / (size * 90))
            ahead = fractal_noise((x + dx) / (size * 1.7), (z + dz) / size, seed=seed, octaves=2)
            here = fractal_noise(x / (size * 1.7), z / size, seed=seed, octaves=2)
            rise += (ahead - here) * height * calm / step
        slopes.append(np.asarray(rise * gusts, np.float32))
    return slopes[0], slopes[1]


def add_water(
    image: Array, nearest: Array, eye: Eye, mirror: Array, light: tuple[Sun, Array]
) -> Array:
    """Return the picture with the harbour's water where nothing stands before it."""
    row, column = np.mgrid[0 : eye.rows, 0 : eye.width].astype(np.float32) + 0.5
    surface = np.maximum(row - eye.horizon, 0.01) / (eye.focal * eye.height)
    wet = (row > eye.horizon) & (surface > nearest)
    row, column, near = row[wet], column[wet], np.asarray(surface[wet], np.float32)
    places = eye.place(column, row, near)
    slope_x, slope_z = waves(places[:, 0], places[:, 2])
    scale = eye.focal / mirror.shape[1] * len(mirror[0]) / eye.width
    shrink = mirror.shape[1] / eye.width
    grazing = eye.height * near
    i = (column + 2 * eye.focal * slope_x * grazing) * shrink
    j = (row + 2 * eye.focal * slope_z * scale / scale) * shrink
    j = np.clip(j, eye.horizon * shrink + 1, mirror.shape[0] - 1).astype(np.int32)
    i = np.clip(i, 0, mirror.shape[1] - 1).astype(np.int32)
    fresnel = 0.06 + 0.94 * (1 - np.clip(grazing - slope_z, 0.0, 1)) ** 4
    lit = light[0].shadow(places, light[1], np.array(0.1))
    depths = np.array([0.015, 0.075, 0.085]) + lit[:, None] * np.array([0.03, 0.06, 0.05])
    image[wet] = mix(np.asarray(depths, np.float32), mirror[j, i], np.asarray(fresnel))
    return image


def develop(image: Array) -> Image.Image:
    """Return the finished print: bloom, film curve, vignette, a little grain."""
    bright = np.clip(image - 0.9, 0, 2)
    bloom = np.stack([blur(np.asarray(bright[..., c]), 14) for c in range(3)], axis=-1)
    light = (image + 0.5 * bloom) * 0.66
    curve = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    v, u = np.mgrid[-1 : 1 : image.shape[0] * 1j, -1 : 1 : image.shape[1] * 1j]
    curve *= (1 - 0.16 * (u * u + v * v) ** 1.2 / 2)[..., None]
    curve = np.clip(curve, 0, 1) ** (1 / 2.2)
    curve += np.random.default_rng(5).normal(0, 0.006, image.shape[:2])[..., None]
    print_ = Image.fromarray((np.clip(curve, 0, 1) * 255).astype(np.uint8))
    return print_.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
