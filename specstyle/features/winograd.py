"""3x3 convolutions with a quarter of the multiplications, by Winograd's minimal filtering F(4x4, 3x3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from numpy.polynomial.polynomial import polyfromroots
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

STEP = 4
"""Outputs of a tile in each direction."""

_SIDE = STEP + 2
"""Inputs of a tile in each direction."""

_BLOCK = 128
"""Tiles transformed at a time by each thread: what becomes of them stays in the processor's caches."""

_LEAST_CHANNELS, _LEAST_POSITIONS = 48, 144
_LEAST_PRODUCT, _LEAST_SHARED_PRODUCT = 64**2, 128**2
"""Of input and output channels, on one thread and on several: these wait for each other at every step of a
block."""

_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""Where the polynomials of a tile and a filter are evaluated, besides infinity. These leave half the error of
0, 1, -1, 2, -2 (measured in float32), and are exact in binary."""


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return the transforms of a tile of the input, of a filter and of a tile of the output, in float64.

    Reference:
        ``B^T [6, 6]``, ``G [6, 3]`` and ``A^T [4, 6]`` of Lavin & Gray 2016, made by Toom and Cook's
        interpolation for any points as Barabasz, Anderson, Soodhalter & Gregg 2020 describe it ("Error
        analysis and improving the accuracy of Winograd convolution for deep neural networks").
    """
    points = torch.tensor(_POINTS, dtype=torch.float64)
    last = points.numel()
    powers = points[:, None] ** torch.arange(last + 1)
    inputs = torch.zeros(_SIDE, _SIDE, dtype=torch.float64)
    filters = torch.zeros(_SIDE, 3, dtype=torch.float64)
    outputs = torch.zeros(STEP, _SIDE, dtype=torch.float64)
    for number in range(last):
        others = torch.cat([points[:number], points[number + 1 :]])
        inputs[number, :last] = torch.from_numpy(polyfromroots(others))
        filters[number] = powers[number, :3] / (points[number] - others).prod()
        outputs[:, number] = powers[number, :STEP]
    inputs[last] = torch.from_numpy(polyfromroots(points))
    filters[last, -1] = outputs[-1, last] = 1.0
    return inputs, filters, outputs


_INPUT, _FILTER, _OUTPUT = _transforms()


def transformed(weight: Tensor) -> Tensor:
    """Return filters in the domain of products.

    Args:
        weight: ``[K, C, 3, 3]``.

    Returns:
        ``[36, C, K]``, of the same type, computed in float64: row by row of a tile.
    """
    both = torch.einsum("ai,bj->abij", _FILTER, _FILTER).reshape(_SIDE**2, 9)
    out, into = weight.shape[:2]
    taps = weight.permute(2, 3, 1, 0).reshape(9, into * out)
    return (both @ taps.double()).to(weight.dtype).view(_SIDE**2, into, out)


def worthwhile(weight: Tensor, positions: int) -> bool:
    """Return whether ``convolve`` is faster than a direct convolution.

    It is on CPUs in float32, from so many channels and positions on as were measured there. On GPUs the
    libraries choose among such methods themselves; less precise types lose too much in the transforms.

    Args:
        weight: ``[K, C, 3, 3]``.
        positions: Of all maps of the batch.
    """
    out, into = weight.shape[:2]
    suits = weight.device.type == "cpu" and weight.dtype == torch.float32
    least = _LEAST_PRODUCT if torch.get_num_threads() == 1 else _LEAST_SHARED_PRODUCT
    enough = min(out, into) >= _LEAST_CHANNELS and out * into >= least
    return suits and enough and positions >= _LEAST_POSITIONS


def convolve(x: Tensor, filters: Tensor, bias: Tensor, *, padding: int) -> Tensor:
    """Return the cross-correlation of maps with 3x3 filters, plus a bias, as ``F.conv2d`` does.

    In float32 it is off by some 1e-6 of the result's norm, direct sums by a few 1e-7.

    Args:
        x: ``[B, C, H, W]``, at least 3 x 3 with its padding.
        filters: ``transformed`` filters ``[36, C, K]``. They get no gradient.
        bias: ``[K]``. It gets no gradient.
        padding: Zeros around x, 0 or 1.

    Returns:
        ``[B, K, H + 2 padding - 2, W + 2 padding - 2]``, channels last in memory.

    Reference:
        Winograd 1980, "Arithmetic complexity of computations"; Lavin & Gray 2016, "Fast algorithms for
        convolutional neural networks", section 4.3. The gradient is the transpose of all its steps.
    """
    result: Tensor = _Convolution.apply(x, filters, bias, padding)  # type: ignore[no-untyped-call]
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(filters)
        ctx.padding, ctx.shape = padding, x.shape
        maps = x.permute(0, 2, 3, 1).contiguous()
        batch, height, width, into = maps.shape
        rows, columns, out = height + 2 * padding - 2, width + 2 * padding - 2, filters.shape[2]
        shape = batch, out, rows, columns
        result = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        to_products, to_outputs = _INPUT.to(maps), _OUTPUT.to(maps)
        for block in _blocks(batch, rows, columns):
            tiles = _mixed(to_products, _tiles(block.read(maps, _SIDE, padding), _SIDE))
            products = torch.bmm(tiles.view(_SIDE**2, -1, into), filters)
            outputs = _mixed(to_outputs, products.view(_SIDE, _SIDE, -1))
            goal, buffer, inside = block.place(result.permute(0, 2, 3, 1), STEP, 0)
            pixels = _tiles(buffer, STEP)
            torch.add(outputs.view(pixels.shape), bias, out=pixels)
            if goal is not buffer:
                goal.copy_(inside)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        (filters,) = ctx.saved_tensors
        above = grad[0].permute(0, 2, 3, 1).contiguous()
        batch, rows, columns, out = above.shape
        _, into, height, width = ctx.shape
        below = above.new_zeros(batch, height, width, into)
        to_products, to_inputs = _OUTPUT.t().to(above), _INPUT.t().to(above)
        backwards = filters.transpose(1, 2)
        for block in _blocks(batch, rows, columns):
            tiles = _mixed(to_products, _tiles(block.read(above, STEP, 0), STEP))
            products = torch.bmm(tiles.view(_SIDE**2, -1, out), backwards)
            inputs = _mixed(to_inputs, products.view(_SIDE, _SIDE, -1))
            goal, buffer, inside = block.place(below, _SIDE, ctx.padding)
            _add_overlapping(buffer, inputs.view(_SIDE, _SIDE, batch, block.rows, block.columns, into))
            if goal is not buffer:
                goal += inside
        return below.permute(0, 3, 1, 2), None, None, None


class _Block(NamedTuple):
    """Some tiles: the first row and column of them, and how many of each."""

    row: int
    column: int
    rows: int
    columns: int

    def read(self, maps: Tensor, side: int, padding: int) -> Tensor:
        """Return the pixels of its tiles, with zeros where the maps do not reach.

        Args:
            maps: ``[B, H, W, C]``.
            side: Of a tile: 4, or 6 where tiles overlap.
            padding: Pixels by which the first tile begins before the maps do.
        """
        inside, margins = self._inside(maps, side, padding)
        return F.pad(inside, (0, 0, *margins)) if any(margins) else inside

    def place(self, maps: Tensor, side: int, padding: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a view of its pixels in the maps, a place for all of them, and the view's part of that.

        The place is the view itself where the maps reach far enough.
        """
        inside, margins = self._inside(maps, side, padding)
        if not any(margins):
            return inside, inside, inside
        left, right, top, bottom = margins
        batch, height, width, channels = inside.shape
        whole = maps.new_zeros(batch, height + top + bottom, width + left + right, channels)
        return inside, whole, whole[:, top : top + height, left : left + width]

    def _inside(self, maps: Tensor, side: int, padding: int) -> tuple[Tensor, tuple[int, int, int, int]]:
        """Return the part of its pixels that the maps have, and what lacks: left, right, top, bottom."""
        top, left = STEP * self.row - padding, STEP * self.column - padding
        bottom, right = top + STEP * (self.rows - 1) + side, left + STEP * (self.columns - 1) + side
        high, wide = maps.shape[1:3]
        margins = max(-left, 0), max(right - wide, 0), max(-top, 0), max(bottom - high, 0)
        return maps[:, max(top, 0) : bottom, max(left, 0) : right], margins


def _blocks(batch: int, height: int, width: int) -> Iterator[_Block]:
    """Share out the tiles of so many outputs into blocks; the last ones may reach over the border."""
    rows, columns = -(-height // STEP), -(-width // STEP)
    block = _BLOCK * torch.get_num_threads()
    wide = min(columns, max(block // batch, 1))
    high = max(block // (batch * wide), 1)
    for row in range(0, rows, high):
        for column in range(0, columns, wide):
            yield _Block(row, column, min(high, rows - row), min(wide, columns - column))


def _tiles(pixels: Tensor, side: int) -> Tensor:
    """Return a view of tiles of a side, 4 pixels apart: ``[B, H, W, C]`` to ``[side, side, B, h, w, C]``."""
    entry, row, column, one = pixels.stride()
    batch, height, width, channels = pixels.shape
    rows, columns = ((size - side) // STEP + 1 for size in (height, width))
    shape = side, side, batch, rows, columns, channels
    return pixels.as_strided(shape, (row, column, entry, STEP * row, STEP * column, one))


def _mixed(matrix: Tensor, tiles: Tensor) -> Tensor:
    """Return ``matrix @ tile @ matrix^T`` for tiles ``[n, n, ...]``: ``[m, m, N]``."""
    out, into = matrix.shape
    rows = matrix @ tiles.reshape(into, -1)
    return torch.matmul(matrix, rows.view(out, into, -1))


def _add_overlapping(pixels: Tensor, tiles: Tensor) -> None:
    """Add tiles of 6 x 6, 4 apart, to ``[B, H, W, C]``, part by part, so that none meets its neighbor."""
    parts = (slice(0, STEP), slice(STEP, _SIDE))
    goal = _tiles(pixels, _SIDE)
    for rows in parts:
        for columns in parts:
            goal[rows, columns] += tiles[rows, columns]
