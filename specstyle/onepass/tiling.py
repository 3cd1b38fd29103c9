"""A network over an image of any size: at once, or in tiles without seams."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.canvas import resize
from specstyle.onepass.network import HALO, STRIDE, Moments, StyleNetwork

TILE = 1024
"""Side of a tile in pixels; a multiple of ``STRIDE``. Statistics are those of a copy of so many pixels."""


@torch.no_grad()
def stylize(
    network: StyleNetwork,
    image: Tensor,
    blend: Tensor,
    strength: float,
    *,
    moments: Sequence[Moments] | None = None,
    kept: float = 1.0,
    found: list[Moments] | None = None,
    pixels_at_once: int | None = None,
    tile: int = TILE,
) -> Tensor:
    """Return an image in a style.

    Args:
        network: The styles.
        image: ``[1, C, H, W]``, of any size from 8 x 8 on; for C see the network.
        blend: Weight of each style, ``[styles]``, not negative and not all 0.
        strength: From 0 to 1.
        moments: Of the image before, in a film; with ``kept`` and ``found`` see ``StyleNetwork.forward``.
        kept: Share of ``moments``.
        found: Takes in what was used.
        pixels_at_once: Larger images are stylized in tiles; ``None``: as the network says.
        tile: See ``TILE``.

    Returns:
        Shape ``[1, channels, H, W]``, in 0..1.
    """
    pixels_at_once = network.pixels_at_once if pixels_at_once is None else pixels_at_once
    height, width = image.shape[2:]
    condition = (blend[None] / blend.sum()).to(image), image.new_tensor([strength])
    whole = _whole_strides(image)
    if height * width <= pixels_at_once:
        output: Tensor = network(whole, *condition, moments=moments, kept=kept, found=found)
        return output[..., :height, :width]
    # What is normalized by the statistics of a tile would have seams.
    found = [] if found is None else found
    factor = math.sqrt(min(pixels_at_once, TILE * TILE) / (height * width))
    small = resize(image, *(max(int(side * factor), 8) for side in (height, width)))
    network(_whole_strides(small), *condition, moments=moments, kept=kept, found=found)
    output = image.new_empty((1, network.channels, height, width))
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            y, x = max(top - HALO, 0), max(left - HALO, 0)
            part = whole[..., y : top + tile + HALO, x : left + tile + HALO]
            done = network(part, *condition, moments=found, origin=(y, x))[..., top - y :, left - x :]
            target = output[..., top : top + tile, left : left + tile]
            target.copy_(done[..., : target.shape[2], : target.shape[3]])
    return output


def _whole_strides(image: Tensor) -> Tensor:
    """Return an image with its last row and column repeated, up to whole strides."""
    down, right = (-side % STRIDE for side in image.shape[2:])
    padded = F.pad(image, (0, right, 0, down), mode="replicate") if down or right else image
    return padded.contiguous(memory_format=torch.channels_last)
