"""How much of a picture's structure is left in another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from specstyle.media.color import luma

BLUR = 128
"""The standard deviation of the blur before edges are taken is the longest side divided by this."""


def _edges(image: Tensor, longest: int) -> Tensor:
    """Return the strength of the edges of blurred lightness, ``[B, 1, H - 1, W - 1]``."""
    from torchvision.transforms.functional import gaussian_blur

    gray = luma(image) if image.shape[1] == 3 else image
    sigma = max(longest / BLUR, 0.3)
    radius = min(round(3 * sigma) + 1, min(image.shape[2:]) - 1)
    smooth = gaussian_blur(gray, [2 * radius + 1] * 2, [sigma, sigma])
    across = smooth[..., 1:, 1:] - smooth[..., 1:, :-1]
    down = smooth[..., 1:, 1:] - smooth[..., :-1, 1:]
    edges: Tensor = (across.square() + down.square()).sqrt()
    return edges


@torch.no_grad()
def edge_correlation(image: Tensor, content: Tensor, *, longest: int | None = None) -> float:
    """Return how far the edges of a picture are those of another: 1 for itself, near 0 for an unrelated one.

    Args:
        image: ``[1, 1 or 3, H, W]`` in 0..1.
        content: The same.
        longest: Longest side in pixels of what both are parts of; ``None``: they are whole.

    Returns:
        The correlation of the magnitudes of the gradients of the blurred luma. Of a picture without any edge
        it is 0.
    """
    whole = longest or max(image.shape[2:])
    ours, theirs = (_edges(i, whole).flatten() for i in (image, content))
    found = float(torch.corrcoef(torch.stack([ours, theirs]))[0, 1])
    return 0.0 if math.isnan(found) else found
