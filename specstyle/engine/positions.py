"""Positions that weigh differently: masked style statistics, as weighted sums.

A Gram matrix is a sum of ``f f^T``: with each feature vector multiplied by the root of its weight, the plain
sum is the weighted one. The roots are scaled so that the weights' mean is 1. A sum divided by the number of
positions, which is what every loss sees, is then the weighted sum divided by the sum of weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.losses import precise


def root_weights(mask: Tensor, height: int, width: int) -> Tensor:
    """Return the roots of the weights that a mask gives to the positions of a feature map.

    Args:
        mask: Not negative and not 0 everywhere, ``[1, 1, H, W]``; each position gets its area's mean.
        height: Of the map.
        width: Of the map.

    Returns:
        ``[1, 1, height, width]``; the mean of their squares is 1.

    Raises:
        ValueError: If the mask is 0 everywhere.

    Reference:
        Gatys et al. 2017, "Controlling perceptual factors in neural style transfer", equations 3 to 5, which
        normalize the same way.
    """
    weights = F.adaptive_avg_pool2d(precise(mask), (height, width))
    mean = weights.mean()
    if not mean > 0:
        raise ValueError("a mask must be above 0 somewhere")
    return (weights / mean).sqrt().to(mask)


def portions(masks: Sequence[Tensor], blend: Sequence[float]) -> list[float]:
    """Return how much of the style loss belongs to each of several masked styles.

    A style is as strong where it applies as it would be on the whole image, whatever the size of its area: a
    mean over a part weighs that part's share. Where all masks are full, the portions are those of the blend.

    Args:
        masks: Where each style applies, from 0 to 1, ``[1, 1, H, W]``.
        blend: Weight of each style.

    Raises:
        ValueError: If all masks or all weights are 0.
    """
    areas = [weight * float(precise(mask).mean()) for mask, weight in zip(masks, blend, strict=True)]
    if not sum(areas) > 0:
        raise ValueError("some mask and its weight must be above 0")
    covered = float(torch.stack([precise(mask) for mask in masks]).sum(0).clamp_max(1.0).mean())
    return [covered * area / sum(areas) for area in areas]
