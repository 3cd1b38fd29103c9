"""The same losses and the same gradient, tile by tile: memory depends on the tile, not on the image.

Style statistics are sums over positions. A first pass adds them up without a graph; the losses are
differentiated by those sums; a second pass runs each tile forward and back with that gradient. Each tile is
seen with a margin around it, its losses are taken on its inner positions only, and the gradient of the whole
tile, margin included, is added up. That is exact: each position is computed once from all the pixels that it
sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from specstyle.engine.losses import Statistic, content_scale
from specstyle.engine.objective import ContentTerm, Features, ImageTerm, Objective, StyleTerm, Term


class TileableFeatures(Features, Protocol):
    """A network whose positions see a bounded neighborhood.

    Position p of a layer sits at pixel ``p * strides[layer]`` and sees no pixel more than ``halo`` away.
    """

    strides: dict[str, int]


@dataclass(frozen=True)
class Tile:
    """A rectangle of pixels that are its own, and a larger one that it sees.

    Attributes:
        top: First row of its own.
        bottom: Row after its last.
        left: First column of its own.
        right: Column after its last.
        outer: Top, bottom, left and right of what it sees.
        last_row: Whether nothing is below.
        last_column: Whether nothing is to the right.
    """

    top: int
    bottom: int
    left: int
    right: int
    outer: tuple[int, int, int, int]
    last_row: bool
    last_column: bool

    def seen(self, image: Tensor) -> Tensor:
        """Return the part of an image ``[B, C, H, W]`` that the tile sees."""
        top, bottom, left, right = self.outer
        return image[:, :, top:bottom, left:right]

    def inner(self, maps: Tensor, stride: int) -> Tensor:
        """Return the tile's own positions of the maps of what it sees."""
        top, _, left, _ = self.outer
        rows = slice((self.top - top) // stride, None if self.last_row else (self.bottom - top) // stride)
        columns = slice(
            (self.left - left) // stride, None if self.last_column else (self.right - left) // stride
        )
        return maps[:, :, rows, columns]

    def place(self, part: Tensor, stride: int) -> tuple[slice, slice]:
        """Return where the tile's own positions lie in the whole map."""
        top, left = self.top // stride, self.left // stride
        return slice(top, top + part.shape[2]), slice(left, left + part.shape[3])


def tiles(
    height: int, width: int, size: tuple[int | None, int | None], features: TileableFeatures
) -> list[Tile]:
    """Cut an image into tiles.

    Args:
        height: Of the image in pixels.
        width: Of the image in pixels.
        size: Height and width of a tile in pixels; ``None``: the whole side. They are rounded up to what the
            network's strides allow.
        features: The network.
    """
    stride = math.lcm(*features.strides.values())
    rows = _cuts(height, size[0], stride, features.halo)
    columns = _cuts(width, size[1], stride, features.halo)
    return [
        Tile(top, bottom, left, right, (*row_outer, *column_outer), bottom == height, right == width)
        for (top, bottom, row_outer) in rows
        for (left, right, column_outer) in columns
    ]


def _cuts(length: int, size: int | None, stride: int, halo: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Return start, end and outer start and end of each piece of one side."""
    if size is not None and size < 1:
        raise ValueError(f"a tile must be at least 1 pixel wide, got {size}")
    step = length if size is None else -(-size // stride) * stride
    margin = -(-halo // stride) * stride
    return [
        (start, min(start + step, length), (max(start - margin, 0), min(start + step + margin, length)))
        for start in range(0, length, step)
    ]


@torch.no_grad()
def tiled_means(
    features: TileableFeatures,
    image: Tensor,
    statistics: dict[str, Statistic],
    size: tuple[int | None, int | None],
) -> dict[str, Tensor]:
    """Return the mean over positions of a statistic of each layer, tile by tile.

    Args:
        features: The network.
        image: ``[B, C, H, W]``.
        statistics: By layer.
        size: Of a tile, see ``tiles``.
    """
    sums, counts = _sums(features, image, statistics, tiles(image.shape[2], image.shape[3], size, features))
    return {name: total / counts[name] for name, total in sums.items()}


@torch.no_grad()
def tiled_maps(
    features: TileableFeatures, image: Tensor, layers: Sequence[str], size: tuple[int | None, int | None]
) -> dict[str, Tensor]:
    """Return whole maps ``[B, C, h, w]`` of some layers, computed tile by tile."""
    rows: dict[str, list[list[Tensor]]] = {name: [] for name in layers}
    for tile in tiles(image.shape[2], image.shape[3], size, features):
        maps = features(tile.seen(image))
        for name in layers:
            if tile.left == 0:
                rows[name].append([])
            rows[name][-1].append(tile.inner(maps[name], features.strides[name]).clone())
    return {name: torch.cat([torch.cat(row, 3) for row in parts], 2) for name, parts in rows.items()}


def _sums(
    features: TileableFeatures, image: Tensor, statistics: dict[str, Statistic], grid: list[Tile]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for tile in grid:
        maps = features(tile.seen(image))
        for name, statistic in statistics.items():
            inner = tile.inner(maps[name], features.strides[name])
            if inner.numel():
                sums[name] = sums[name] + statistic(inner) if name in sums else statistic(inner)
                counts[name] = counts.get(name, 0) + inner.shape[2] * inner.shape[3]
    return sums, counts


class TiledObjective(Objective):
    """An objective whose network sees one tile at a time; value and gradient are those of the whole.

    Args:
        features: The network.
        terms: Content, style and image terms. Image terms (total variation) are computed on the whole image.
        size: Of a tile, see ``tiles``.

    Raises:
        ValueError: If a term needs all positions at once, or two style terms share a layer.
    """

    def __init__(
        self, features: TileableFeatures, terms: Sequence[Term], size: tuple[int | None, int | None]
    ) -> None:
        super().__init__(features, terms)
        for term in terms:
            if not isinstance(term, (ContentTerm, StyleTerm, ImageTerm)):
                raise ValueError(
                    f"the loss {term.name} needs all positions of the image at once and cannot be computed "
                    "tile by tile; turn tiling off"
                )
        self._network, self._size = features, size
        self._styles = [term for term in terms if isinstance(term, StyleTerm)]
        self._contents = [term for term in terms if isinstance(term, ContentTerm)]
        self._others = [term for term in terms if isinstance(term, ImageTerm)]
        if len({term.layer for term in self._styles}) < len(self._styles):
            raise ValueError("tiling takes one style term per layer")

    @torch.no_grad()
    def losses(self, image: Tensor) -> dict[str, Tensor]:
        """Return each term's weighted loss, summed over the batch, by name."""
        return self._evaluate(image, gradient=None)

    def value_and_grad(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the losses by name and the gradient of their sum with respect to the image."""
        gradient = torch.zeros_like(image)
        losses = self._evaluate(image.detach(), gradient=gradient)
        return losses, gradient

    def _evaluate(self, image: Tensor, gradient: Tensor | None) -> dict[str, Tensor]:
        grid = tiles(image.shape[2], image.shape[3], self._size, self._network)
        found, upstream = self._style_losses(image, grid)
        if gradient is not None or self._contents:
            for tile in grid:
                for name, loss in self._run_tile(image, tile, upstream, gradient).items():
                    found[name] = (
                        found.get(name, torch.zeros((), dtype=loss.dtype, device=loss.device)) + loss
                    )
        for term in self._others:
            found[term.name] = self._image_loss(term, image, gradient)
        return {term.name: found[term.name] for term in self.terms}

    def _style_losses(self, image: Tensor, grid: list[Tile]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the style losses, and the gradient of their sum by each layer's summed statistic."""
        losses: dict[str, Tensor] = {}
        upstream: dict[str, Tensor] = {}
        with torch.no_grad():
            statistics = {term.layer: term.statistic for term in self._styles}
            sums, counts = _sums(self._network, image, statistics, grid) if statistics else ({}, {})
        for term in self._styles:
            total = sums[term.layer].requires_grad_()
            with torch.enable_grad():
                loss = term.weight * term.distance(total / counts[term.layer], term.target).sum()
                (upstream[term.layer],) = torch.autograd.grad(loss, total)
            losses[term.name] = loss.detach()
        return losses, upstream

    def _run_tile(
        self, image: Tensor, tile: Tile, upstream: dict[str, Tensor], gradient: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the tile's part of the content losses; add its part of the gradient."""
        leaf = tile.seen(image).detach().clone().requires_grad_(gradient is not None)
        with torch.set_grad_enabled(gradient is not None):
            maps, strides = self._network(leaf), self._network.strides
            parts = [
                (tile.inner(maps[t.layer], strides[t.layer]), t) for t in self._styles if gradient is not None
            ]
            pull = [(upstream[t.layer] * t.statistic(m)).sum() for m, t in parts if m.numel()]
            losses = {}
            for term in self._contents:
                inner = tile.inner(maps[term.layer], strides[term.layer])
                rows, columns = tile.place(inner, strides[term.layer])
                target = term.target[:, :, rows, columns]
                error = (inner - target).square().flatten(1).sum(1)
                losses[term.name] = term.weight * (content_scale(term.form, term.target) * error).sum()
            total = [*pull, *losses.values()]
            if gradient is not None and total:
                (part,) = torch.autograd.grad(torch.stack(total).sum(), leaf)
                tile.seen(gradient).add_(part)
        return {name: loss.detach() for name, loss in losses.items()}

    @staticmethod
    def _image_loss(term: ImageTerm, image: Tensor, gradient: Tensor | None) -> Tensor:
        leaf = image.detach().requires_grad_(gradient is not None)
        with torch.set_grad_enabled(gradient is not None):
            loss = term.weight * term(leaf, {}).sum()
            if gradient is not None:
                gradient.add_(torch.autograd.grad(loss, leaf)[0])
        return loss.detach()
