"""Convolution over time in short blocks: a third to a quarter of the multiplications, for fixed filters.

A block of frames and the filters are transformed along time; what were sums over rows and taps become sums
over rows alone, one matrix product for each frequency of the short transform.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

GROUP = 128
"""Blocks that are in hand at once. The products are as fast with more; with fewer they are slower."""

_SLICE = 128
"""Filters that are transformed at once."""


class BlockConvolution:
    """What ``conv1d`` computes for filters that never change, and its gradient by the image.

    The filters are kept transformed only, in about three times their own memory.

    Args:
        filters: ``[n_filters, rows, width]``; may be dropped afterwards.

    Reference:
        Oppenheim & Schafer, "Discrete-Time Signal Processing", on overlap-save; Mathieu, Henaff & LeCun 2014,
        "Fast training of convolutional networks through FFTs", for one matrix product per frequency. Blocks
        are so short (two filters long) that their transforms are matrix products, too. A product of complex
        matrices takes three real ones (Winograd 1971, "On multiplication of 2 x 2 matrices").
    """

    def __init__(self, filters: Tensor) -> None:
        n_filters, rows, self.width = filters.shape
        self.block = 2 * self.width
        self.step = self.block - self.width + 1
        of_filters, of_blocks, back = (part.to(filters) for part in _transforms(self.block))
        self.forth, self.back = of_blocks, back[:, : self.step].contiguous()
        of_filters = of_filters[:, : self.width]
        self.spectrum = filters.new_empty(len(of_filters), n_filters, rows)
        for first in range(0, n_filters, _SLICE):
            part = filters[first : first + _SLICE]
            transformed = of_filters @ part.reshape(-1, self.width).transpose(0, 1)
            self.spectrum[:, first : first + _SLICE] = transformed.view(-1, *part.shape[:2])

    def __call__(self, images: Tensor, *, rectify: bool = False) -> Tensor:
        """Return ``[B, n_filters, T - width + 1]`` for ``[B, rows, T]``, in memory frame by frame.

        Args:
            images: At least as long as a filter.
            rectify: Apply a ReLU.
        """
        maps: Tensor = _Convolve.apply(images, self)  # type: ignore[no-untyped-call]
        if rectify:
            F.relu_(maps)
        return maps[:, : images.shape[2] - self.width + 1].transpose(1, 2)

    def values(self, frames: int) -> int:
        """Return how many values are in hand at once, beside the maps, for one image of some frames."""
        products, n_filters, rows = self.spectrum.shape
        at_once = min(GROUP, -(-frames // self.step))
        return at_once * (products * (n_filters + rows) + self.step * n_filters) + 2 * rows * frames


class _Convolve(torch.autograd.Function):
    """A convolution and its adjoint: ``[B, rows, T]`` to ``[B, count * step, n_filters]``, in whole blocks.

    Maps at frames from which a filter would reach beyond the last one mean nothing.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, by: BlockConvolution) -> Tensor:
        ctx.by, ctx.frames = by, images.shape[2]
        batch, rows, frames = images.shape
        count = -(-(frames - by.width + 1) // by.step)
        padded = images.new_zeros(batch, by.block + (count - 1) * by.step, rows)
        padded[:, :frames] = images.transpose(1, 2)
        blocks = padded.unfold(1, by.block, by.step).transpose(2, 3).flatten(0, 1)
        maps = images.new_empty(batch, count * by.step, by.spectrum.shape[1])
        parts = maps.view(len(blocks), by.step, -1)
        for group in _groups(blocks):
            spectra = _each(by.forth, blocks[group])
            products = torch.bmm(spectra.transpose(0, 1), by.spectrum.transpose(1, 2))
            _each(by.back.transpose(0, 1), products.transpose(0, 1), out=parts[group])
        _silence(maps[:, : frames - by.width + 1], images.ne(0.0).any(1), by.width)
        return maps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        by: BlockConvolution = ctx.by
        batch, length, n_filters = grad[0].shape
        rows, count = by.spectrum.shape[2], length // by.step
        parts = grad[0].reshape(-1, by.step, n_filters)
        blocks = grad[0].new_empty(len(parts), by.block, rows)
        for group in _groups(parts):
            spectra = _each(by.back, parts[group])
            products = torch.bmm(spectra.transpose(0, 1), by.spectrum)
            _each(by.forth.transpose(0, 1), products.transpose(0, 1), out=blocks[group])
        blocks = blocks.view(batch, count, by.block, rows)
        # A block is longer than its step, but shorter than two: each frame is in two blocks at most.
        image = grad[0].new_zeros(batch, (count + 1) * by.step, rows)
        image[:, : -by.step] = blocks[:, :, : by.step].flatten(1, 2)
        over = image[:, by.step :].view(batch, count, by.step, rows)[:, :, : by.block - by.step]
        over += blocks[:, :, by.step :]
        image = image[:, : ctx.frames]
        heard = torch.linalg.vector_norm(grad[0], torch.inf, dim=2) > 0.0
        _silence(image, F.pad(heard, (by.width - 1, by.width - 1)), by.width)
        return image.transpose(1, 2), None


def _silence(frames: Tensor, heard: Tensor, width: int) -> None:
    """Set to 0 what silence alone gives, where rounding leaves a trace of a block's other frames.

    Adam makes steps out of a gradient of any size, and silence has none.

    Args:
        frames: ``[B, T, n]``.
        heard: Whether there is anything in each frame that they come from, ``[B, T' >= T + width - 1]``.
        width: Of how many of these each of them is a sum.
    """
    heard = heard.unfold(1, width, 1).any(2)[:, : frames.shape[1]]
    if not heard.all():
        frames.masked_fill_(~heard[:, :, None], 0.0)


def _groups(blocks: Tensor) -> list[slice]:
    return [slice(start, start + GROUP) for start in range(0, len(blocks), GROUP)]


def _each(matrix: Tensor, blocks: Tensor, out: Tensor | None = None) -> Tensor:
    """Multiply each of some blocks ``[n, k, r]`` by a matrix ``[j, k]`` from the left, without copies."""
    product: Tensor = torch.bmm(matrix.expand(len(blocks), *matrix.shape), blocks, out=out)
    return product


def _transforms(block: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return what turns filters, blocks and products of these into one another, each ``[products, block]``.

    With A, B and C so returned, ``sum_p C[p, t] (A w)[p] (B x)[p]`` is the circular correlation
    ``sum_k w[k] x[t + k]``, as the discrete Fourier transform gives it. Each pair of complex frequencies, for
    which a filter has ``a + i b`` and a block ``p - i q``, takes three products:
    ``a (p - q)``, ``(b - a) p`` and ``-(a + b) q``.
    """
    times = torch.arange(block, dtype=torch.float64)
    filters: list[Tensor] = []
    blocks: list[Tensor] = []
    back: list[Tensor] = []
    for frequency in range(block // 2 + 1):
        angles = (2.0 * math.pi / block) * (frequency * times % block)
        c, s = angles.cos(), angles.sin()
        if frequency in (0, block / 2):
            filters, blocks, back = [*filters, c], [*blocks, c], [*back, c / block]
            continue
        filters += [c, s - c, s + c]
        blocks += [c - s, c, -s]
        back += [(2.0 / block) * one for one in (c - s, -s, -c)]
    return torch.stack(filters), torch.stack(blocks), torch.stack(back)
