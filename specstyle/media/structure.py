"""How much of a picture's structure is left in another."""

from __future__ import annotations

import torch
from torch import Tensor

from specstyle.engine.views import LocalContrast, luma

BLUR = 128
"""The standard deviation of the blur before edges are taken is the longest side divided by this."""

AROUND, MIN_RADIUS = 48, 8
"""Contrast is local within the longest side divided by the one, and at least so many pixels."""

SOFT = 1.0 / 3.0
"""What the edges of the local contrast count."""

_FLAT = 1e-10
"""Square of an edge that is none: the root has a gradient there."""


def _edges(image: Tensor, longest: int) -> Tensor:
    """Return the strength of the edges of blurred lightness, ``[B, 1, H - 1, W - 1]``."""
    from torchvision.transforms.functional import gaussian_blur

    gray = luma(image) if image.shape[1] == 3 else image
    sigma = max(longest / BLUR, 0.3)
    radius = min(round(3 * sigma) + 1, min(image.shape[2:]) - 1)
    smooth = gaussian_blur(gaussian_blur(gray, [1, 2 * radius + 1], sigma), [2 * radius + 1, 1], sigma)
    across = smooth[..., 1:, 1:] - smooth[..., 1:, :-1]
    down = smooth[..., 1:, 1:] - smooth[..., :-1, 1:]
    edges: Tensor = (across.square() + down.square() + _FLAT).sqrt()
    return edges


_NOTHING = 1e-14
"""Of sums of squares of edges, multiplied: less is rounding."""


def edge_correlations(images: Tensor, contents: Tensor, *, longest: int | None = None) -> Tensor:
    """Return how far the edges of pictures are those of others: 1 for itself, near 0 for an unrelated one.

    Args:
        images: ``[B, 1 or 3, H, W]`` in 0..1.
        contents: The same.
        longest: Longest side in pixels of what both are parts of; ``None``: they are whole.

    Returns:
        ``[B]``, differentiable: the correlation of the magnitudes of the gradients of the blurred luma. Of a
        picture without any edge it is 0.
    """
    whole = longest or max(images.shape[2:])
    ours, theirs = (_edges(i, whole).flatten(1) for i in (images, contents))
    ours, theirs = (edges - edges.mean(1, keepdim=True) for edges in (ours, theirs))
    scale = ours.square().sum(1) * theirs.square().sum(1)
    return torch.where(scale > _NOTHING, (ours * theirs).sum(1) / scale.clamp_min(_NOTHING).sqrt(), 0.0)


@torch.no_grad()
def content_left(image: Tensor, content: Tensor) -> float:
    """Return how much of a picture is left in another: 1 in itself, near 0 in an unrelated one.

    Two thirds of it are the correlation of edges, which sharp outlines make up; one third is that of edges
    in the local contrast, where a face counts as much as the collar under it.

    Args:
        image: ``[1, 1 or 3, H, W]`` in 0..1.
        content: The same.
    """
    local = LocalContrast(max(round(max(image.shape[2:]) / AROUND), MIN_RADIUS))
    sharp, soft = edge_correlations(image, content), edge_correlations(local(image), local(content))
    return (1.0 - SOFT) * float(sharp) + SOFT * float(soft)
