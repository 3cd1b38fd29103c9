"""Pictures that the training draws itself: dead leaves, colored noise, strokes, textures, mixtures.

Every function takes a side in pixels and a generator and returns float32 ``[3, size, size]`` in 0..1. None of
them looks like a photograph or a painting; together they have the edges, strokes, grain, shading and colors
of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import fft, ndimage, spatial

Array = NDArray[Any]
Rng = np.random.Generator

_FINER = 2
"""Shapes are drawn this many times finer and then averaged."""


def palette(rng: Rng, count: int) -> Array:
    """Return colors that go together, ``[count, 3]``: spread along a few random directions of color space."""
    center = rng.uniform(0.15, 0.85) + rng.uniform(0.0, 0.4) * rng.uniform(-1.0, 1.0, 3)
    axes = rng.normal(size=(3, 3)) * np.array([1.0, rng.uniform(0.1, 0.8), rng.uniform(0.05, 0.4)])[:, None]
    axes[0] = axes[0].mean() + 0.5 * (axes[0] - axes[0].mean())  # most variation is in brightness
    colors = center + rng.uniform(0.1, 0.45) * rng.normal(size=(count, 3)) @ axes
    return np.asarray(np.clip(colors, 0.0, 1.0))


def power_noise(size: int, rng: Rng, exponent: float, planes: int = 1) -> Array:
    """Return noise whose amplitudes fall as frequency to minus ``exponent``: ``[planes, size, size]``, rms 1.

    Reference:
        Field 1987 (photographs have an exponent of about 1).
    """
    frequency = fft.fftfreq(size)
    radius = np.hypot(frequency[:, None], frequency[None, : size // 2 + 1])
    radius[0, 0] = 1.0
    white = rng.normal(size=(planes, size, size))
    noise = fft.irfft2(fft.rfft2(white) * radius**-exponent, s=(size, size))
    noise -= noise.mean((1, 2), keepdims=True)
    return np.asarray(noise / noise.std((1, 2), keepdims=True))


def colored_noise(size: int, rng: Rng) -> Array:
    """Return noise with a falling spectrum in correlated colors."""
    planes = power_noise(size, rng, rng.uniform(0.4, 2.2), 3)
    mixing = np.linalg.qr(rng.normal(size=(3, 3)))[0] * np.array(
        [1.0, rng.uniform(0, 0.6), rng.uniform(0, 0.3)]
    )
    mixing[:, 0] = np.sign(mixing[0, 0]) * (0.57 + 0.2 * mixing[:, 0])
    picture = rng.uniform(0.25, 0.75, 3)[:, None, None] + rng.uniform(0.05, 0.3) * np.tensordot(
        mixing, planes, axes=1
    )
    return np.clip(picture, 0.0, 1.0)


def dead_leaves(size: int, rng: Rng) -> Array:
    """Return overlapping ellipses, rectangles and triangles whose sizes follow a power law.

    Reference:
        Lee, Mumford & Huang 2001 (density of radii proportional to r^-3).
    """
    side = size * _FINER
    colors = palette(rng, int(rng.integers(4, 40)))
    canvas = Image.new("RGB", (side, side), _pillow(colors[0]))
    draw = ImageDraw.Draw(canvas)
    smallest, largest = rng.uniform(1.5, 6.0) * _FINER, side * rng.uniform(0.15, 0.5)
    for radius in (
        smallest**-2 + rng.random(int(rng.integers(150, 900))) * (largest**-2 - smallest**-2)
    ) ** -0.5:
        corners = _shape(rng) * radius + rng.uniform(0, side, 2)
        color = np.clip(colors[rng.integers(len(colors))] + rng.normal(0, 0.03, 3), 0, 1)
        draw.polygon([tuple(corner) for corner in corners.tolist()], fill=_pillow(color))
    picture = _averaged(canvas)
    if rng.random() < 0.5:  # leaves are rarely flat
        picture = picture * (1.0 + rng.uniform(0.03, 0.25) * power_noise(size, rng, rng.uniform(0.3, 1.8)))
    return np.clip(picture, 0.0, 1.0)


def _shape(rng: Rng) -> Array:
    corners = int(rng.choice([3, 4, 4, 24, 24, 24]))
    angles = np.arange(corners) * 2 * np.pi / corners
    points = np.stack([np.cos(angles), rng.uniform(0.25, 1.0) * np.sin(angles)], 1)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ rotation.T)


def strokes(size: int, rng: Rng) -> Array:
    """Return layers of brush strokes along a smooth field of directions, each of a few bristles."""
    side = size * _FINER
    colors = palette(rng, int(rng.integers(3, 16)))
    canvas = Image.new("RGB", (side, side), _pillow(colors[0]))
    draw = ImageDraw.Draw(canvas)
    field = np.pi * rng.uniform(0.2, 1.5) * power_noise(side // 8, rng, 2.0)[0] + rng.uniform(0, np.pi)
    plan = power_noise(side // 8, rng, 1.6)[0]
    order = np.sort(plan.ravel())
    width = rng.uniform(2.0, 14.0) * _FINER
    for _ in range(int(rng.integers(1, 4))):
        count = min(int(1.6 * (side / width) ** 2 / rng.uniform(1.0, 6.0)), 2500)
        for start in rng.uniform(0, side, (count, 2)):
            share = np.searchsorted(order, plan[_cell(start, plan)]) / order.size
            color = colors[min(int(share * len(colors)), len(colors) - 1)] + rng.normal(0, 0.05, 3)
            path = _path(start, field, rng.uniform(2.0, 9.0) * width)
            _stroke(draw, path, width, color, rng)
        width *= rng.uniform(0.35, 0.7)
    return _averaged(canvas)


def _path(start: Array, field: Array, length: float) -> Array:
    """Follow the field of directions from a point: ``[6, 2]``."""
    points = [start]
    for _ in range(5):
        angle = field[_cell(points[-1], field)]
        points.append(points[-1] + length / 5 * np.array([np.cos(angle), np.sin(angle)]))
    return np.stack(points)


def _stroke(draw: ImageDraw.ImageDraw, path: Array, width: float, color: Array, rng: Rng) -> None:
    across = (path[-1] - path[0])[::-1] * np.array([-1.0, 1.0])
    across /= np.linalg.norm(across) + 1e-9
    bristles = int(np.clip(width / 3, 1, 5))
    for k in range(bristles):
        offset = across * width * ((k + 0.5) / bristles - 0.5)
        shade = np.clip(color + rng.normal(0, 0.04), 0, 1)
        line = [tuple(point) for point in (path + offset).tolist()]
        draw.line(line, fill=_pillow(shade), width=max(round(width / bristles), 1), joint="curve")


def _cell(point: Array, grid: Array) -> tuple[int, int]:
    column, row = (int(np.clip(coordinate / 8, 0, grid.shape[0] - 1)) for coordinate in point)
    return row, column


def oriented_grain(size: int, rng: Rng) -> Array:
    """Return noise of one or two orientations and wavelengths: weaves, wood, hatching."""
    frequency = fft.fftfreq(size)
    fy, fx = frequency[:, None], frequency[None, : size // 2 + 1]
    value = np.zeros((size, size))
    for _ in range(int(rng.integers(1, 3))):
        angle, center = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(0.03), np.log(0.45)))
        along = fx * np.cos(angle) + fy * np.sin(angle)
        across = -fx * np.sin(angle) + fy * np.cos(angle)
        spread = center * rng.uniform(0.1, 0.6)
        band = np.exp(-((np.abs(along) - center) ** 2 + across**2 * rng.uniform(0.3, 3.0)) / (2 * spread**2))
        part = fft.irfft2(fft.rfft2(rng.normal(size=(size, size))) * band, s=(size, size))
        value += part / (part.std() + 1e-12)
    if rng.random() < 0.4:
        value = np.tanh(rng.uniform(1, 6) * value)
    return _colored(value, rng)


def cells(size: int, rng: Rng) -> Array:
    """Return Voronoi cells, flat, bordered or shaded by the distance to their centers.

    Reference:
        Worley 1996.
    """
    points = rng.uniform(-0.1 * size, 1.1 * size, (int(rng.integers(12, 500)), 2))
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).reshape(-1, 2)
    distance, nearest = spatial.cKDTree(points).query(grid * np.array([1.0, rng.uniform(0.4, 1.0)]), k=2)
    edge = (distance[:, 1] - distance[:, 0]).reshape(size, size)
    kind = rng.integers(3)
    if kind == 0:
        return _colored(distance[:, 0].reshape(size, size) * rng.choice([-1.0, 1.0]), rng)
    colors = palette(rng, len(points))
    picture = colors[nearest[:, 0]].reshape(size, size, 3).transpose(2, 0, 1)
    if kind == 1:
        border = np.clip(edge / rng.uniform(1.0, 4.0), 0.0, 1.0)
        picture = border * picture + (1.0 - border) * palette(rng, 1)[0][:, None, None]
    return np.asarray(ndimage.gaussian_filter(picture, (0, 0.5, 0.5)))


def spots(size: int, rng: Rng) -> Array:
    """Return spots and stripes: a band of noise, hardened."""
    width = rng.uniform(0.8, 6.0)
    white = rng.normal(size=(size, size))
    value = ndimage.gaussian_filter(white, width, mode="wrap")
    value -= ndimage.gaussian_filter(white, width * rng.uniform(1.3, 3.0), mode="wrap")
    return _colored(np.tanh(rng.uniform(0.5, 8.0) * value / value.std()), rng)


def waves(size: int, rng: Rng) -> Array:
    """Return stripes, checks or rings, bent by smooth noise."""
    y, x = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size), indexing="ij")
    bend = rng.uniform(0.0, 0.25) * power_noise(size, rng, 2.2, 2)
    y, x = y + bend[0], x + bend[1]
    angle, count = rng.uniform(0, np.pi), rng.uniform(2.0, size / 6.0)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kind = rng.integers(3)
    if kind == 0:
        value = np.sin(np.pi * count * along)
    elif kind == 1:
        value = np.sin(np.pi * count * along) * np.sin(np.pi * count * rng.uniform(0.3, 1.0) * across)
    else:
        value = np.sin(np.pi * count * np.hypot(x - rng.uniform(-1, 1), y - rng.uniform(-1, 1)))
    return _colored(np.tanh(rng.uniform(0.3, 8.0) * value), rng)


def gradient(size: int, rng: Rng) -> Array:
    """Return a smooth sky with a little grain: most of a photograph is smooth."""
    corners = palette(rng, 9).T.reshape(3, 3, 3)
    smooth = ndimage.zoom(corners, (1, size / 3, size / 3), order=1, mode="nearest", grid_mode=True)
    return np.asarray(np.clip(smooth + rng.uniform(0.0, 0.03) * rng.normal(size=(3, size, size)), 0.0, 1.0))


def _colored(value: Array, rng: Rng) -> Array:
    """Give values a ramp of colors."""
    ranks = (value - value.min()) / (np.ptp(value) + 1e-12)
    stops = palette(rng, int(rng.integers(2, 6)))
    places = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(ranks, places, stops[:, c]) for c in range(3)])


def _pillow(color: Array) -> tuple[int, int, int]:
    red, green, blue = (round(float(value) * 255) for value in np.clip(color, 0, 1))
    return red, green, blue


def _averaged(canvas: Image.Image) -> Array:
    size = canvas.width // _FINER
    small = canvas.resize((size, size), Image.Resampling.BOX)
    return np.asarray(np.asarray(small, np.float32).transpose(2, 0, 1) / 255.0)


PLAIN: dict[str, Callable[[int, Rng], Array]] = {
    "dead leaves": dead_leaves,
    "strokes": strokes,
    "noise": colored_noise,
    "grain": oriented_grain,
    "cells": cells,
    "spots": spots,
    "waves": waves,
    "gradient": gradient,
}
_SHARES = np.array([0.28, 0.28, 0.12, 0.07, 0.08, 0.05, 0.06, 0.06])


def draw_picture(size: int, rng: Rng) -> Array:
    """Return a picture of a random kind: plain, or one shown through another's shape; developed at random."""
    names = list(PLAIN)

    def plain() -> Array:
        return PLAIN[names[rng.choice(len(names), p=_SHARES)]](size, rng)

    picture = plain()
    mixture = rng.random()
    if mixture < 0.3:
        mask = ndimage.gaussian_filter((power_noise(size, rng, 1.8)[0] > rng.normal(0, 0.5)) * 1.0, 0.7)
        picture = mask * picture + (1 - mask) * plain()
    elif mixture < 0.45:
        share = rng.uniform(0.1, 0.5)
        picture = (1 - share) * picture + share * plain()
    return develop(picture, rng)


def develop(picture: Array, rng: Rng) -> Array:
    """Change sharpness, contrast, saturation and brightness a little, at random."""
    if rng.random() < 0.3:
        picture = ndimage.gaussian_filter(picture, (0, *[rng.uniform(0.3, 1.5)] * 2))
    if rng.random() < 0.2:
        picture = picture + rng.uniform(0.3, 1.0) * (
            picture - ndimage.gaussian_filter(picture, (0, 1.0, 1.0))
        )
    if rng.random() < 0.5:
        gray = picture.mean(0, keepdims=True)
        picture = gray + rng.uniform(0.0, 1.5) * (picture - gray)
    if rng.random() < 0.5:
        mean = picture.mean()
        picture = mean + rng.uniform(0.3, 1.6) * (picture - mean) + rng.normal(0, 0.1)
    if rng.random() < 0.3:
        picture = picture + rng.uniform(0.005, 0.08) * rng.normal(size=picture.shape)
    picture = np.clip(picture, 0.0, 1.0)
    if rng.random() < 0.3:
        picture = picture ** np.exp(rng.normal(0, 0.4))
    return np.asarray(picture, np.float32)
