"""Transforms of long signals, block by block: only what is asked for is ever held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from specstyle.media.stft import OverlapAdd, StftSettings, inverse_window_sum, window_tensor

BLOCK = 2**22
"""Samples of frames in work at once."""


def stft_blocks(x: Tensor, settings: StftSettings) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of the first frame and the spectra of each block of frames.

    Args:
        x: ``[channels, length]``.
        settings: The transform.

    Yields:
        Complex, ``[channels, n_bins, frames of the block]``: together what ``stft`` returns.
    """
    n_fft, hop, length = settings.n_fft, settings.hop_length, x.shape[-1]
    n_frames = settings.n_frames(length)
    size = max(1, BLOCK // (n_fft * max(1, x.shape[0])))
    window = window_tensor(settings, x.dtype, x.device)
    for first in range(0, n_frames, size):
        count = min(size, n_frames - first)
        start = first * hop - n_fft // 2
        stop = start + (count - 1) * hop + n_fft
        part = x[:, max(start, 0) : min(stop, length)]
        part = pad(part, (max(-start, 0), max(stop - length, 0)))
        yield first, torch.stft(part, n_fft, hop, window=window, center=False, return_complex=True)


def stft_magnitude(x: Tensor, settings: StftSettings) -> Tensor:
    """Return the magnitudes of ``stft``, ``[channels, n_bins, n_frames(length)]``."""
    found = x.new_empty(x.shape[0], settings.n_bins, settings.n_frames(x.shape[-1]))
    for first, spec in stft_blocks(x, settings):
        found[:, :, first : first + spec.shape[2]] = spec.abs()
    return found


def shaped(x: Tensor, gains: Callable[[int, int], Tensor], settings: StftSettings) -> Tensor:
    """Return the signal whose transform is nearest to that of ``x`` times a gain for each bin and frame.

    Args:
        x: ``[channels, length]``.
        gains: Called with the number of a block's first frame and with how many frames it has; returns
            ``[n_bins, frames]``, or ``[n_bins, 1]`` for all of them.
        settings: The transform.
    """
    length = x.shape[-1]
    window = window_tensor(settings, x.dtype, x.device)
    added = OverlapAdd(settings, length, x.shape[:1], like=x)
    for first, spec in stft_blocks(x, settings):
        weighted = spec * gains(first, spec.shape[2])
        added.add(torch.fft.irfft(weighted.transpose(-1, -2), n=settings.n_fft) * window, first)
    return added.signal().mul_(inverse_window_sum(settings, length, x.dtype, x.device))
