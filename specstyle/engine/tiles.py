"""An image cut into tiles, and what is a sum over its positions added up tile by tile.

Each tile is seen with a margin around it, and only its own positions count: each is computed once, from all
the pixels that it sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from specstyle.engine.losses import Statistic, weighted_sum
from specstyle.engine.objective import Features
from specstyle.engine.variation import Part
from specstyle.engine.views import Seen

Size = tuple[int | None, int | None]
"""Height and width of a tile in pixels; ``None``: the whole side. Both are rounded up to what the network's
strides allow."""


class TileableFeatures(Features, Protocol):
    """A network whose positions see a bounded neighborhood.

    Position p of a layer sits at pixel ``p * strides[layer]`` and sees no pixel more than ``halo`` away.
    """

    strides: dict[str, int]


Summed = tuple[str, Statistic, Tensor | None]
"""A layer, a statistic of it, and the roots of its positions' weights in the whole, ``[1, 1, h, w]``."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of pixels that are its own, and a larger one that it sees.

    Attributes:
        top: First row of its own.
        bottom: Row after its last.
        left: First column of its own.
        right: Column after its last.
        outer: Top, bottom, left and right of what it sees.
        part: Where its own pixels lie in the image.
    """

    top: int
    bottom: int
    left: int
    right: int
    outer: tuple[int, int, int, int]
    part: Part

    def seen(self, image: Tensor) -> Tensor:
        """Return the part of an image ``[B, C, H, W]`` that the tile sees."""
        top, bottom, left, right = self.outer
        return image[:, :, top:bottom, left:right]

    def inner(self, maps: Tensor, stride: int) -> Tensor:
        """Return the tile's own positions of the maps of what it sees."""
        return self._own(maps, stride, self.outer[0], self.outer[2])

    def roots(self, whole: Tensor | None, stride: int) -> Tensor | None:
        """Return the tile's own positions of the roots of the whole image's weights."""
        return None if whole is None else self._own(whole, stride, 0, 0)

    def _own(self, maps: Tensor, stride: int, top: int, left: int) -> Tensor:
        last_row = None if self.part.bottom else (self.bottom - top) // stride
        last_column = None if self.part.right else (self.right - left) // stride
        rows = slice((self.top - top) // stride, last_row)
        return maps[:, :, rows, (self.left - left) // stride : last_column]

    def own_and_next(self, seen: Tensor) -> Tensor:
        """Return its own pixels of what it sees, and one row and column more where there are any."""
        top, _, left, _ = self.outer
        rows = slice(self.top - top, self.bottom - top + 1)
        return seen[:, :, rows, self.left - left : self.right - left + 1]


def tiles(height: int, width: int, size: Size, features: TileableFeatures) -> list[Tile]:
    """Cut an image into tiles.

    Args:
        height: Of the image in pixels.
        width: Of the image in pixels.
        size: Of a tile.
        features: The network.
    """
    return [
        Tile(
            top,
            bottom,
            left,
            right,
            (*row_outer, *column_outer),
            Part(height, width, top == 0, bottom == height, left == 0, right == width),
        )
        for (top, bottom, row_outer) in _cuts(height, size[0], features)
        for (left, right, column_outer) in _cuts(width, size[1], features)
    ]


def grid_of(features: TileableFeatures) -> int:
    """Return what the corners of tiles are multiples of, in pixels."""
    return math.lcm(*features.strides.values())


def margin_of(features: TileableFeatures) -> int:
    """Return how many pixels around it a tile sees: a multiple of ``grid_of``, and at least one."""
    grid = grid_of(features)
    return -(-max(features.halo, 1) // grid) * grid


def _cuts(
    length: int, size: int | None, features: TileableFeatures
) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield start, end and outer start and end of each piece of one side."""
    if size is not None and size < 1:
        raise ValueError(f"a tile must be at least 1 pixel wide, got {size}")
    grid, margin = grid_of(features), margin_of(features)
    step = length if size is None else -(-size // grid) * grid
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield start, stop, (max(start - margin, 0), min(stop + margin, length))


@torch.no_grad()
def add_up(
    features: TileableFeatures,
    image: Tensor,
    statistics: Mapping[str, Summed],
    grid: list[Tile],
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return sums of statistics over the positions of some tiles by name, and their numbers.

    Args:
        features: The network.
        image: ``[B, C, H, W]``.
        statistics: By name.
        grid: The tiles.
    """
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(statistics, 0)
    wanted = {layer for layer, _, _ in statistics.values()}
    network = features.only(wanted) if isinstance(features, Seen) else features
    for tile in grid:
        maps = network(tile.seen(image))
        for name, (layer, statistic, roots) in statistics.items():
            stride = features.strides[layer]
            inner = tile.inner(maps[layer], stride)
            if inner.numel() or name not in sums:
                found = weighted_sum(statistic, inner, tile.roots(roots, stride))
                sums[name] = sums[name].add_(found) if name in sums else found
                counts[name] += inner.shape[2] * inner.shape[3]
    return sums, counts


def tiled_means(
    features: TileableFeatures,
    image: Tensor,
    statistics: dict[str, Statistic],
    size: Size,
    roots: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the mean over positions of a statistic of each layer, tile by tile.

    Args:
        features: The network.
        image: ``[B, C, H, W]``.
        statistics: By layer.
        size: Of a tile.
        roots: By layer, of the positions' weights; ``None``: all weigh the same.
    """
    grid = tiles(image.shape[2], image.shape[3], size, features)
    terms = {layer: (layer, s, (roots or {}).get(layer)) for layer, s in statistics.items()}
    sums, counts = add_up(features, image, terms, grid)
    return {name: total / counts[name] for name, total in sums.items()}
