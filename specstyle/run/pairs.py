"""What the kernel costs, which compares each frame with all: time by the pair, memory by the block."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor

from specstyle.features.kernel import BLOCK, square_mean, usable_widths

MATRICES = 16
"""Matrices of one block by another held for each width, with what the gradient needs (seen: 15)."""


def block_bytes(batch: int, frames: int, widths: Sequence[int]) -> int:
    """Return the memory that a step takes for a pair of blocks, for sounds of some frames."""
    return MATRICES * len(widths) * 4 * batch * min(frames, BLOCK + max(widths) - 1) ** 2


def own_pairs(frames: int, widths: Sequence[int]) -> int:
    """Return how many pairs of a sound's own frames are looked at: each two blocks are, once."""
    return sum(
        first * second
        for number, first in enumerate(_blocks(frames, widths))
        for second in _blocks(frames, widths)[number:]
    )


def style_pairs(frames: int, style_frames: int, widths: Sequence[int]) -> int:
    """Return how many pairs of a frame and one of a style are looked at."""
    return sum(_blocks(frames, widths)) * sum(_blocks(style_frames, widths))


def _blocks(frames: int, widths: Sequence[int]) -> list[int]:
    """Return the frames of each block, those that it shares with the next one among them."""
    usable = usable_widths(widths, frames)
    starts = range(0, frames - min(usable) + 1, BLOCK)
    return [min(BLOCK + max(usable) - 1, frames - start) for start in starts]


def seconds_per_pair(image: Tensor, widths: Sequence[int]) -> tuple[float, float]:
    """Time one block on a piece of an image ``[B, 1, bins, T]``.

    Returns:
        Seconds for a pair of own frames, and for one with a frame of a style, with their gradients.
    """
    x = image[..., :BLOCK].flatten(1, 2).transpose(1, 2).contiguous()
    usable = usable_widths(widths, x.shape[1])
    ones = x.new_ones(len(usable), x.shape[0])
    x.requires_grad_(True)
    spent = []
    square_mean(x, x, ones, usable)
    for other in (x, x.detach().clone()):
        started = time.perf_counter()
        float(square_mean(x, other, ones, usable).detach().sum())
        spent.append(time.perf_counter() - started)
    return spent[0] / x.shape[1] ** 2, spent[1] / x.shape[1] ** 2


def seconds_per_step(image: Tensor, frames: int, style_frames: int, widths: Sequence[int]) -> float:
    """Estimate the time of one evaluation of an image of some frames.

    Args:
        image: With at least a piece of it, on the device.
        frames: Its frames.
        style_frames: Of all styles together.
        widths: Of patches.
    """
    own, other = seconds_per_pair(image, widths)
    return own * own_pairs(frames, widths) + other * style_pairs(frames, style_frames, widths)
