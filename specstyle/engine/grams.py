"""Gram matrices of feature maps, of all positions or of bands of rows.

A Gram matrix sums over all positions and so forgets where anything was. Bands remember at which height, on
a spectrogram at which frequency, a texture lives: the rows of a feature map are shared out among B that
overlap, with one matrix each, so that the texture of one frequency may not stand at any other.

Gradients are written out where that is faster, in whichever memory layout the maps have.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from specstyle.engine.losses import Statistic


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrix of feature maps, summed over positions.

    Args:
        features: ``[B, C, h, w]``.

    Returns:
        ``sum_m f_m f_m^T``, shape ``[B, C, C]``.

    Reference:
        Gatys, Ecker & Bethge 2016, equation 3.
    """
    flat = features.flatten(2)  # a view, whether channels come last in memory or not
    return flat @ flat.transpose(1, 2)


def gram_error(features: Tensor, target: Tensor) -> Tensor:
    """Return ``sum (G - A)^2`` of the mean Gram matrix G of feature maps, ``[B]``.

    Args:
        features: ``[B, C, h, w]``, with at least one position.
        target: A, ``[B, C, C]``, symmetric.

    Reference:
        Gatys, Ecker & Bethge 2016, equations 4 and 6: automatic differentiation would compute both equal
        halves of the gradient.
    """
    error: Tensor = _GramError.apply(features, target)  # type: ignore[no-untyped-call]
    return error


class _GramError(torch.autograd.Function):
    """``|F F^T / M - A|^2`` per batch entry, with its gradient ``4 / M (F F^T / M - A) F``.

    Where there are thousands of channels, passes over their matrices cost more than the products do: here
    there are two.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor) -> Tensor:
        flat = features.flatten(2)
        error = torch.baddbmm(target, flat, flat.transpose(1, 2), beta=-1.0, alpha=1.0 / flat.shape[2])
        ctx.save_for_backward(features, error)
        # Row by row: in one go, the norm of millions of values is off by a thousandth on a single thread.
        squares: Tensor = torch.linalg.vector_norm(error, dim=2).square().sum(1)
        return squares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        features, error = ctx.saved_tensors
        share = (4.0 / (features.shape[2] * features.shape[3])) * grad[0][:, None, None]
        if error.numel() > features.numel():  # the factor goes to the smaller of the two
            return _times(error, features).mul_(share[..., None]), None
        return _times(error * share, features), None


def gram_pull(features: Tensor, upstream: Tensor) -> Tensor:
    """Return something whose gradient is that of ``(U * F F^T).sum()``, without computing its value.

    Args:
        features: ``[B, C, h, w]``.
        upstream: U, ``[B, C, C]``: the gradient of a loss by the sum of ``f f^T`` over all positions.
    """
    pull: Tensor = _Pull.apply(features, upstream)  # type: ignore[no-untyped-call]
    return pull


class _Pull(torch.autograd.Function):
    """0, whose gradient is that of ``(U * F F^T).sum()``."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, upstream: Tensor) -> Tensor:
        ctx.save_for_backward(features, upstream)
        return features.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        features, upstream = ctx.saved_tensors
        return _times((upstream + upstream.transpose(1, 2)) * grad[0], features), None


def _times(matrices: Tensor, maps: Tensor) -> Tensor:
    """Return symmetric ``[B, C, C]`` times the feature vectors of maps, in the maps' memory layout."""
    flat = maps.flatten(2)
    if maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous():
        return (flat.transpose(1, 2) @ matrices).transpose(1, 2).view_as(maps)
    return (matrices @ flat).view_as(maps)


_FLOOR = 1e-6
"""A band's target counts as at least this fraction of the strongest band's: nothing is divided by silence."""


def band_weights(bands: int, rows: int, *, like: Tensor) -> Tensor:
    """Return triangles that share out rows among bands; they add up to 1 in every row.

    Args:
        bands: Number of triangles, at least 1; no more than ``rows`` are made.
        rows: Number of rows.
        like: Of the wanted type and device.

    Returns:
        ``[min(bands, rows), rows]``. The peaks are evenly spaced from the first row to the last.
    """
    count = min(bands, rows)
    if count < 1:
        raise ValueError(f"bands and rows must be at least 1, got {bands} and {rows}")
    if count == 1:
        return torch.ones(1, rows).to(like)
    row = torch.arange(rows, dtype=torch.float64) * (count - 1) / (rows - 1)
    peak = torch.arange(count, dtype=torch.float64)[:, None]
    return (1.0 - (row - peak).abs()).clamp_min(0.0).to(like)


def banded_gram(bands: int) -> Statistic:
    """Return a statistic: Gram matrices of soft bands of rows.

    It maps ``F [B, C, h, w]`` to ``[B, min(bands, h), C, C]``: for each band the sum over positions of
    ``weight(row) f f^T``. The sum over bands is the plain Gram matrix.

    Args:
        bands: Number of bands.
    """
    # As long as the statistic: a CUDA graph reads them where they are.
    kept: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def statistic(features: Tensor) -> Tensor:
        key = (features.shape[2], features.dtype, features.device)
        if key not in kept:
            with torch.inference_mode(False):  # a gradient needs them, whoever asked for them first
                kept[key] = band_weights(bands, features.shape[2], like=torch.empty(0).to(features))
        rows = features.transpose(1, 2)  # [B, h, C, w]: a matrix for each row, and bands are sums of these
        of_rows = rows @ rows.transpose(2, 3)
        banded = kept[key] @ of_rows.flatten(2)
        return banded.view(*banded.shape[:2], *of_rows.shape[2:])

    return statistic


def banded_relative_distance(mean: Tensor, target: Tensor) -> Tensor:
    """Return ``mean_b sum (G_b - A_b)^2 / sum A_b^2``, each band relative to its own target.

    Args:
        mean: ``[B, bands, C, C]``.
        target: The same.

    Returns:
        ``[B]``; 1 for an empty image. A target that is empty altogether costs nothing.
    """
    norm = target.square().flatten(2).sum(2)
    floor = _FLOOR * norm.amax(1, keepdim=True)
    error = (mean - target).square().flatten(2).sum(2)
    return torch.where(norm.amax(1) > 0, (error / torch.maximum(norm, floor).clamp_min(1e-30)).mean(1), 0.0)
