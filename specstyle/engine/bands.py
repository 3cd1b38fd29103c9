"""Style statistics that remember at which height, on a spectrogram at which frequency, a texture lives.

A Gram matrix sums over all positions and so forgets where anything was. Here the rows of a feature map are
shared out among B overlapping bands, with one Gram matrix each. On spectrograms the plain Gram lets the
texture of one frequency stand at any other; bands forbid it. B = 1 is the plain Gram.
"""

from __future__ import annotations

import torch
from torch import Tensor

from specstyle.engine.losses import Statistic

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
