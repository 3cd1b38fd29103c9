"""Styles that are drawn, not painted: leaded glass, and ink on paper.

Every function takes a height and a width in pixels and a seed and returns sRGB values from 0 to 1, shape
``[height, width, 3]``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from .pictures import brush_texture

Array = NDArray[Any]

_GLASS = ("1b3f8b", "2f7fc1", "0f7a5c", "58a846", "e9b824", "d9651d", "b3202c", "7a2a6b", "efe3c0", "17657d")
_LEAD, _INK, _PAPER = "14130f", "1d2436", "f3e9d2"


def stained_glass(height: int, width: int, seed: int = 0) -> Array:
    """Draw panes of colored glass between lines of lead, clouded, and brighter towards their middles."""
    rng = np.random.default_rng(seed)
    shorter = min(height, width)
    count = round(height * width / (0.055 * shorter) ** 2)
    centers = rng.uniform((-0.05 * height, -0.05 * width), (1.05 * height, 1.05 * width), (count, 2))
    for _ in range(2):  # towards panes of about the same size
        grid = rng.uniform((0, 0), (height, width), (40 * count, 2))
        nearest = spatial.cKDTree(centers).query(grid)[1]
        members = np.bincount(nearest, minlength=count)[:, None]
        sums = np.stack([np.bincount(nearest, grid[:, axis], minlength=count) for axis in (0, 1)], 1)
        centers = np.where(members > 0, sums / np.maximum(members, 1), centers)
    bend = 0.012 * shorter * _clouds((2, height, width), rng, 0.06 * shorter)
    places = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")) + bend
    distances, panes = spatial.cKDTree(centers).query(places.reshape(2, -1).T, k=2)
    distances = distances.reshape(height, width, 2)
    colors = _colors(_GLASS)[_zones(centers, rng, len(_GLASS))]
    colors = colors * rng.uniform(0.75, 1.15, (count, 1))
    picture = colors[panes[:, 0]].reshape(height, width, 3)
    light = 1.0 + 0.14 * _clouds((height, width), rng, 0.012 * shorter)
    light += 0.25 * np.clip(1.0 - distances[..., 0] / (0.04 * shorter), -0.5, 1.0)
    lead = np.clip((distances[..., 1] - distances[..., 0]) / (0.008 * shorter) - 0.35, 0.0, 1.0)[..., None]
    return np.asarray(np.clip(lead * picture * light[..., None] + (1.0 - lead) * _colors((_LEAD,))[0], 0, 1))


def engraving(height: int, width: int, seed: int = 0) -> Array:
    """Draw tones by lines of ink: one layer of hatching for light grays, more across it for dark ones."""
    rng = np.random.default_rng(seed)
    shorter = min(height, width)
    tone = 0.6 + 0.28 * _clouds((height, width), rng, 0.09 * shorter)
    bend = 0.03 * shorter * _clouds((height, width), rng, 0.12 * shorter)
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    wobble = 0.0015 * shorter * _clouds((height, width), rng, 0.01 * shorter)
    period, ink = 0.0125 * shorter, np.zeros((height, width))
    for angle, lightest in ((0.6, 0.95), (2.2, 0.6), (1.4, 0.4)):
        across = x * np.cos(angle) + y * np.sin(angle) + bend + wobble
        thick = np.clip(1.3 * (lightest - tone), 0.0, 0.75)  # share of a period that is ink
        edge = (np.abs(np.mod(across / period, 1.0) - 0.5) - 0.5 * thick) * period
        ink = np.maximum(ink, np.clip(0.5 - edge, 0.0, 1.0) * (thick > 0.04))
    paper = _colors((_PAPER,))[0] * (1.0 + 0.025 * _clouds((height, width), rng, 0.004 * shorter))[..., None]
    ink = (ink * (0.92 + 0.06 * _clouds((height, width), rng, 0.01 * shorter)))[..., None]
    return np.asarray(np.clip((1.0 - ink) * paper + ink * _colors((_INK,))[0], 0.0, 1.0))


def _clouds(shape: tuple[int, ...], rng: np.random.Generator, size: float) -> Array:
    """Return smooth noise of mean 0 and deviation 1, whose features are about so many pixels large."""
    noise = ndimage.gaussian_filter(
        rng.normal(size=shape), (0.0,) * (len(shape) - 2) + (size, size), mode="wrap"
    )
    return np.asarray((noise - noise.mean()) / noise.std())


def _zones(centers: Array, rng: np.random.Generator, colors: int) -> Array:
    """Return a color's number for each pane: neighbors often have related ones."""
    waves = rng.normal(size=(3, 2)) * 4.0 * np.pi / np.ptp(centers, 0)
    value = np.sin(centers @ waves.T + rng.uniform(0, 6.28, 3)).sum(1) + rng.normal(0, 0.7, len(centers))
    return np.asarray(np.argsort(np.argsort(value)) * colors // len(centers))


def _colors(names: tuple[str, ...]) -> Array:
    return np.array([[int(name[i : i + 2], 16) for i in (0, 2, 4)] for name in names]) / 255.0


PATTERNS: dict[str, Callable[..., Array]] = {
    "brush_texture": brush_texture,
    "stained_glass": stained_glass,
    "engraving": engraving,
}
"""Drawn styles by name; each takes ``height``, ``width`` and ``seed``."""
