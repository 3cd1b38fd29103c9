"""Two pictures made from nothing: a drawn landscape (content) and painted brush strokes (style).

Each function gives the same pixels for the same arguments. Shapes scale with the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[Any]  # float64 at every public edge; float32 inside, for speed

_MIN_SIDE, _MAX_SIDE = 16, 4096


def _check(height: int, width: int) -> None:
    for name, side in (("height", height), ("width", width)):
        if not _MIN_SIDE <= side <= _MAX_SIDE:
            raise ValueError(f"{name}: expected {_MIN_SIDE} to {_MAX_SIDE} pixels, got {side}")


def _oversampling(height: int, width: int) -> int:
    """Choose how many times finer to draw: 3, less where the canvas would get very large."""
    return 3 if height * width <= 1024**2 else 2 if height * width <= 2048**2 else 1


def _rgb(code: str) -> Array:
    """Read a color such as ``"ffcc00"``."""
    return np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def _mix(first: Array, second: Array, share: Array | float) -> Array:
    """Blend two colors (or pictures), ``share`` of the second."""
    start, end, weight = (
        np.asarray(part, dtype=np.float32) for part in (first, second, np.asarray(share)[..., None])
    )
    blended: Array = start + weight * (end - start)
    return blended


def _ridge(x: Array, waves: int, roughness: float, rng: np.random.Generator) -> Array:
    """Draw a line of hills: sines of falling height, about -1 to 1."""
    line = np.zeros_like(x)
    for k in range(1, waves + 1):
        line += k**-roughness * np.sin(2 * np.pi * (k * 0.9 * x + rng.random()))
    return np.asarray(line / np.abs(line).max())


def _as_image(picture: Array) -> Image.Image:
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def _reduced(canvas: Image.Image, factor: int) -> Array:
    """Average blocks of factor x factor pixels."""
    fine = np.asarray(canvas, dtype=np.float64) / 255
    height, width = fine.shape[0] // factor, fine.shape[1] // factor
    return np.asarray(fine.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)))


# -- a drawn scene -------------------------------------------------------------------------------------------

_SHORE = 0.68  # where the lake begins, as a share of the height


def drawn_scene(height: int, width: int, seed: int = 0) -> Array:
    """Draw a house and trees under hills and an evening sun, mirrored in a lake.

    Args:
        height: In pixels.
        width: In pixels.
        seed: Seed of the hills, clouds, trees and ripples.

    Returns:
        sRGB values from 0 to 1, shape ``[height, width, 3]``.
    """
    _check(height, width)
    rng = np.random.default_rng(seed)
    factor = _oversampling(height, width)
    rows, columns = height * factor, width * factor
    # One unit is the picture's height. float32 is fine enough for 8-bit colors, and halves the time.
    y, x = (np.mgrid[0:rows, 0:columns] / rows + 0.5 / rows).astype(np.float32)
    aspect = width / height
    scale = min(1.0, aspect)  # so that all fits a narrow picture too
    land = _as_image(_hills(_sky(y, x, aspect, rng), y, x / aspect, rng))
    draw = ImageDraw.Draw(land)
    _tree(draw, 0.13 * aspect, 0.655, 0.33 * scale, unit=rows, rng=rng)
    _house(draw, 0.60 * aspect, 0.655, 0.30 * scale, rows)
    _tree(draw, 0.42 * aspect, 0.660, 0.17 * scale, unit=rows, rng=rng)
    _tree(draw, 0.93 * aspect, 0.665, 0.24 * scale, unit=rows, rng=rng)
    return _reduced(_as_image(_lake(np.asarray(land, dtype=np.float64) / 255, y, x, rng)), factor)


def _sky(y: Array, x: Array, aspect: float, rng: np.random.Generator) -> Array:
    stops = (0.0, 0.30, 0.48, 0.62)
    colors = np.stack([_rgb(code) for code in ("2f5fa8", "7fb2de", "f6d7a7", "f3a66b")])
    sky = np.stack([np.interp(y, stops, colors[:, c]) for c in range(3)], axis=2)
    distance = np.hypot(x - 0.78 * aspect, y - 0.22)
    sky = _mix(sky, _rgb("fff1c4"), 0.75 * np.exp(-distance / 0.11))
    sky = _mix(sky, _rgb("ffe27a"), (distance < 0.075).astype(float))
    for _ in range(4):
        middle_x, middle_y = rng.uniform(0.05, 0.7) * aspect, rng.uniform(0.07, 0.30)
        puffs = np.zeros_like(y)
        for _ in range(6):
            puff_x, radius = middle_x + rng.uniform(-0.10, 0.10), rng.uniform(0.018, 0.042)
            inside = ((x - puff_x) / (1.9 * radius)) ** 2 + ((y - middle_y) / radius) ** 2 < 1
            puffs = np.maximum(puffs, inside & (y < middle_y + 0.012))
        sky = _mix(sky, _rgb("fbf4ea"), 0.9 * puffs)
    return sky


def _hills(picture: Array, y: Array, across: Array, rng: np.random.Generator) -> Array:
    """Lay three ranges over the sky, the near ones darker, and the meadow before them."""
    ranges = (
        (0.44, 0.075, 7, 1.0, "8d8fb8", "b9a9c4"),
        (0.53, 0.050, 4, 1.3, "5f8a78", "8fae8a"),
        (0.605, 0.022, 3, 1.5, "4f8a3f", "8fb552"),
    )
    for level, relief, waves, roughness, dark, light in ranges:
        crest = level - relief * _ridge(across[:1], waves, roughness, rng)
        depth = (y - crest) / 0.12
        shaded = _mix(_rgb(light), _rgb(dark), np.clip(depth, 0, 1))
        picture = _mix(picture, shaded, (y > crest).astype(float))
    return picture


def _house(draw: ImageDraw.ImageDraw, left: float, ground: float, size: float, unit: int) -> None:
    """Draw a house; lengths in picture heights, ``unit`` pixels each."""

    def shape(points: list[tuple[float, float]], color: str) -> None:
        """Fill a polygon given in house sizes, up from its lower left corner."""
        corners = [((left + size * px) * unit, (ground - size * py) * unit) for px, py in points]
        draw.polygon(corners, fill=color)

    def box(x0: float, y0: float, x1: float, y1: float, color: str) -> None:
        shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color)

    box(0.74, 0.55, 0.86, 1.02, "#7a4334")  # chimney
    box(0.72, 0.98, 0.88, 1.03, "#5c3026")
    box(0, 0, 1, 0.5, "#efe2c6")  # walls
    box(0.62, 0, 1, 0.5, "#d9c6a2")
    shape([(-0.08, 0.48), (1.08, 0.48), (0.86, 0.86), (0.14, 0.86)], "#b5432f")
    for course in range(1, 5):  # rows of tiles
        y0 = 0.48 + 0.076 * course
        inset = -0.08 + 0.22 * (y0 - 0.48) / 0.38
        box(inset, y0, 1 - inset, y0 + 0.012, "#8e3022")
    box(0.40, 0, 0.56, 0.33, "#6b4426")  # door
    box(0.52, 0.15, 0.54, 0.18, "#e8c95a")
    for x0 in (0.10, 0.70):  # windows, lit, with their crosses
        box(x0 - 0.02, 0.16, x0 + 0.22, 0.40, "#6b4426")
        box(x0, 0.18, x0 + 0.20, 0.38, "#ffd866")
        box(x0 + 0.09, 0.18, x0 + 0.11, 0.38, "#6b4426")
        box(x0, 0.27, x0 + 0.20, 0.29, "#6b4426")


def _tree(
    draw: ImageDraw.ImageDraw, x: float, ground: float, size: float, *, unit: int, rng: np.random.Generator
) -> None:
    """Draw a trunk with boughs and a crown of many round clumps, lit from the right."""
    px, base, length = x * unit, ground * unit, size * unit
    trunk = 0.055 * length
    draw.polygon(
        [
            (px - trunk, base),
            (px + trunk, base),
            (px + 0.4 * trunk, base - 0.6 * length),
            (px - 0.4 * trunk, base - 0.6 * length),
        ],
        fill="#5a3d28",
    )
    for side in (-1, 1):
        bough = [(px, base - 0.33 * length), (px + side * 0.2 * length, base - 0.56 * length)]
        draw.line(bough, fill="#5a3d28", width=max(1, round(0.035 * length)))
    greens = ("#24502b", "#2f6a33", "#43853a", "#68a544")
    for layer, color in enumerate(greens):
        for _ in range(16):
            angle, reach = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
            shift = 0.035 * layer
            cx = px + length * ((0.25 - 0.04 * layer) * reach * np.cos(angle) + shift)
            cy = base - length * (0.70 + (0.24 - 0.04 * layer) * reach * np.sin(angle) + shift)
            radius = length * rng.uniform(0.05, 0.10) * (1 - 0.17 * layer)
            draw.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=color)


def _lake(land: Array, y: Array, x: Array, rng: np.random.Generator) -> Array:
    """Mirror the land below the shore, rippled more the nearer the water is."""
    rows, columns = y.shape
    depth = np.clip((y - _SHORE) / (1 - _SHORE), 0, 1)
    phase = rng.uniform(0, 2 * np.pi, 3)
    wave = np.sin(2 * np.pi * 26 * depth**0.6 + 3 * np.sin(5 * x + phase[0]) + phase[1])
    wave += 0.6 * np.sin(2 * np.pi * 47 * depth**0.6 + 4 * np.sin(3 * x + phase[2]))
    mirrored_y = 2 * _SHORE - y - (0.004 + 0.012 * depth) * wave
    row = np.clip((mirrored_y * rows).astype(int), 0, rows - 1)
    column = np.clip(((x + (0.002 + 0.008 * depth) * wave) * rows).astype(int), 0, columns - 1)
    water = _mix(land[row, column], _rgb("2c5f8a"), 0.28 + 0.30 * depth)
    water = _mix(water, _rgb("e9f2f5"), 0.55 * np.clip(wave - 1.15, 0, 0.4) / 0.4 * (depth > 0.03))
    bank = _SHORE + 0.006 * _ridge(x[:1] / x.max(), 6, 0.8, rng)
    scene = _mix(land, water, (y > bank).astype(float))
    return _mix(scene, _rgb("6b5a3c"), (np.abs(y - bank) < 0.005).astype(float))


# -- brush strokes -------------------------------------------------------------------------------------------

_NIGHT = ("0b1f4b", "123a7d", "1f5fae", "3f8ccb", "8fc3dc", "1a2a5e", "2e6f8e")
_LIGHTS = ("f7c531", "ffe27d", "e89a1c", "fff3c9", "d9701e")


def brush_texture(height: int, width: int, seed: int = 0) -> Array:
    """Paint blue and yellow brush strokes along a swirling flow.

    Three layers of strokes, each shorter and narrower than the last, follow the flow around a few vortices.
    Every stroke is a bundle of bristles: parallel lines of slightly different color and length, lit from one
    side as thick paint is.

    Args:
        height: In pixels.
        width: In pixels.
        seed: Seed of the flow, the palette's places and the strokes.

    Returns:
        sRGB values from 0 to 1, shape ``[height, width, 3]``.
    """
    _check(height, width)
    rng = np.random.default_rng(seed)
    factor = min(2, _oversampling(height, width))
    aspect = width / height
    eyes = _vortices(aspect, rng)
    canvas = Image.new("RGB", (width * factor, height * factor), "#123a7d")
    draw = ImageDraw.Draw(canvas)
    unit = height * factor * min(1.0, aspect)  # strokes scale with the shorter side
    scale = min(1.0, aspect)
    for thickness, length, spacing in ((0.034, 0.24, 0.030), (0.024, 0.17, 0.021), (0.017, 0.11, 0.021)):
        starts = _jittered_grid(spacing * scale, aspect, rng)
        paths, normals = _streamlines(starts, length * scale, eyes)
        colors = _stroke_colors(paths, eyes, rng)
        for path, normal, color in zip(paths, normals, colors, strict=True):
            _stroke(draw, path * height * factor, normal, thickness * unit, color=color, rng=rng)
    return _reduced(canvas, factor)


def _vortices(aspect: float, rng: np.random.Generator) -> Array:
    """Place the eyes of the flow apart from each other: ``[eyes, (x, y, reach, turn)]``, in heights."""
    eyes: list[tuple[float, float, float, float]] = []
    scale = min(1.0, aspect)
    for _ in range(400):
        x, y = rng.uniform(0.05, 0.95) * aspect, rng.uniform(0.05, 0.95)
        reach = rng.uniform(0.10, 0.19) * scale
        if all(np.hypot(x - e[0], y - e[1]) > 1.25 * (reach + e[2]) for e in eyes):
            eyes.append((x, y, reach, float(rng.choice((-1.0, 1.0)))))
    return np.asarray(eyes)


def _flow(points: Array, eyes: Array) -> Array:
    """Direction of the brush at points ``[N, 2]``: a waving wind, turned around each eye; unit length."""
    x, y = points[:, 0], points[:, 1]
    angle = 0.5 * np.sin(4.1 * y + 1.7) + 0.7 * np.sin(3.3 * x + 2.0 * y)
    wind = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for eye_x, eye_y, reach, turn in eyes:
        dx, dy = x - eye_x, y - eye_y
        strength = 2.6 * turn * np.exp(-0.5 * (np.hypot(dx, dy) / reach) ** 2)
        radius = np.hypot(dx, dy) + 1e-9
        wind += strength[:, None] * np.stack([-dy / radius, dx / radius], axis=1)
    return np.asarray(wind / (np.linalg.norm(wind, axis=1, keepdims=True) + 1e-9))


def _jittered_grid(spacing: float, aspect: float, rng: np.random.Generator) -> Array:
    """Scatter points evenly beyond all edges, in random order, ``[N, 2]``."""
    xs = np.arange(-4 * spacing, aspect + 4 * spacing, spacing)
    ys = np.arange(-4 * spacing, 1 + 4 * spacing, spacing)
    grid = np.stack(np.meshgrid(xs, ys), axis=2).reshape(-1, 2)
    return np.asarray(rng.permutation(grid + rng.uniform(-0.6, 0.6, grid.shape) * spacing))


def _streamlines(starts: Array, length: float, eyes: Array, steps: int = 14) -> tuple[Array, Array]:
    """Follow the flow from all points at once: paths and unit normals, ``[N, steps, 2]`` each."""
    points, step = starts, length / steps
    paths, normals = [], []
    for _ in range(steps):
        half = points + 0.5 * step * _flow(points, eyes)
        direction = _flow(half, eyes)
        paths.append(points)
        normals.append(np.stack([-direction[:, 1], direction[:, 0]], axis=1))
        points = points + step * direction
    return np.stack(paths, axis=1), np.stack(normals, axis=1)


def _stroke_colors(paths: Array, eyes: Array, rng: np.random.Generator) -> Array:
    """Choose each stroke's color by where its middle lies: rings of light around the eyes, night between."""
    middles = paths[:, paths.shape[1] // 2]
    night, lights = np.stack([_rgb(c) for c in _NIGHT]), np.stack([_rgb(c) for c in _LIGHTS])
    band = 0.5 + 0.5 * np.sin(9 * middles[:, 1] + 4 * np.sin(3.5 * middles[:, 0]) + 1.0)
    shade = np.clip(band * 4.5 + rng.normal(0, 0.9, len(middles)), 0, len(night) - 1).astype(int)
    colors = night[shade]
    for eye_x, eye_y, reach, _ in eyes:
        near = np.hypot(middles[:, 0] - eye_x, middles[:, 1] - eye_y) / reach
        lit = rng.random(len(middles)) < np.exp(-((near / 0.75) ** 4)) + 0.45 * np.exp(
            -(((near - 1.15) / 0.12) ** 2)
        )
        heat = np.clip(near * 3.2 + rng.normal(0, 0.6, len(middles)), 0, len(lights) - 1).astype(int)
        colors[lit] = lights[np.array([3, 1, 0, 2, 4])[heat]][lit]
    return np.asarray(np.clip(colors * rng.uniform(0.85, 1.12, (len(colors), 1)), 0, 1))


def _stroke(
    draw: ImageDraw.ImageDraw,
    path: Array,
    normal: Array,
    thickness: float,
    *,
    color: Array,
    rng: np.random.Generator,
) -> None:
    """Paint one stroke ``[steps, 2]`` in canvas pixels: bristles side by side, the lit edge last."""
    bristles = int(np.clip(thickness / 2.2, 4, 9))
    steps = len(path)
    taper = np.minimum(1.0, 0.45 + 0.55 * np.sin(np.pi * (np.arange(steps) + 0.5) / steps) * 1.6)
    width = max(1, int(np.ceil(1.35 * thickness / bristles)))
    first = rng.integers(0, 3, bristles)
    last = steps - rng.integers(0, 4, bristles)
    tone = 1 + rng.normal(0, 0.10, bristles)
    across = np.linspace(-0.5, 0.5, bristles)
    tone += 0.16 * across * (1 if normal[0, 1] < 0 else -1)  # light falls from above
    tone[0], tone[-1] = tone[0] * 0.82, tone[-1] * 1.10
    for k in range(bristles):
        line = path + normal * (across[k] * thickness * taper)[:, None]
        ink = tuple(int(v) for v in np.clip(color * tone[k] * 255, 0, 255))
        draw.line([tuple(p) for p in line[first[k] : last[k]].tolist()], fill=ink, width=width, joint="curve")


PICTURES: dict[str, Callable[..., Array]] = {
    "drawn_scene": drawn_scene,
    "brush_texture": brush_texture,
}
"""Pictures by name; each takes ``height``, ``width`` and ``seed``."""
