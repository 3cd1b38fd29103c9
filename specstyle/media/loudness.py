"""Loudness and true peaks (ITU-R BS.1770), level and peak."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

Array = np.ndarray[Any, np.dtype[np.float64]]

GATE_LUFS = -70.0
"""Blocks of 400 ms that are quieter do not count."""

_BLOCK_S = 0.4
_LOWEST_RATE = 4000
"""In Hz; the shelf of K-weighting stands at 1.5 kHz."""

_MOST_CHANNELS = 5
_WEIGHTS = np.array([1.0, 1.0, 1.0, 1.41, 1.41])
_OFFSET = -0.691
_RELATIVE_GATE = -10.0

_HEADROOM = 0.5
"""torchaudio's filters clip at full scale, and K-weighting adds 4 dB and overshoots."""

_SETTLED_S = 0.5
"""After so long nothing is left in the filters: the slower one falls by 1000 dB."""

_AT_ONCE = 256
"""Blocks in work at once, of 400 ms, a quarter of that apart."""

OVERSAMPLING = 4
"""BS.1770-4, annex 2, has no less for true peaks."""

_REACH = 11
"""Samples to either side that an oversampled value hangs on: scipy's filter has 10 of them."""

BLOCK = 2**16
"""Samples in work at once."""


def loudness_lufs(
    samples: Array, sample_rate: int, *, gains: Array | None = None, gate_lufs: float = GATE_LUFS
) -> float | None:
    """Return the integrated loudness in LUFS; the filters are torchaudio's.

    Half a minute after the other, so that no second sound is held. Sounds with peaks above half of full scale
    are measured lower and the difference is added again, since torchaudio's filters clip: without that, a
    full-scale dog bark is 0.9 LU off.

    Args:
        samples: Shape ``[channels, length]``; full scale is 1. The fourth and the fifth of five channels
            are the surround channels and weigh 1.41, all others 1.
        sample_rate: In Hz.
        gains: Factors on the samples of all channels, shape ``[length]``.
        gate_lufs: The absolute gate.

    Returns:
        LUFS; ``None`` for sounds shorter than a block of 400 ms, below the gate, with more than 5 channels,
        or with a rate under 4 kHz.

    Reference:
        ITU-R BS.1770-4, as ``torchaudio.functional.loudness`` has it.
    """
    channels, length = samples.shape
    size = round(_BLOCK_S * sample_rate)
    if length < size or sample_rate < _LOWEST_RATE or channels > _MOST_CHANNELS:
        return None
    energies = _block_energies(samples, sample_rate, gains)
    weights = _WEIGHTS[:channels]
    with np.errstate(divide="ignore"):
        blocks = _OFFSET + 10 * np.log10(weights @ energies)
    heard = blocks > gate_lufs
    if not heard.any():
        return None
    relative = _OFFSET + 10 * math.log10(float(weights @ energies[:, heard].mean(axis=1)))
    heard &= blocks > relative + _RELATIVE_GATE
    return _OFFSET + 10 * math.log10(float(weights @ energies[:, heard].mean(axis=1)))


def _block_energies(samples: Array, sample_rate: int, gains: Array | None) -> Array:
    """Return the mean square of each K-weighted block of 400 ms, shape ``[channels, blocks]``."""
    from torchaudio.functional import highpass_biquad, treble_biquad

    size = round(_BLOCK_S * sample_rate)
    step = round(0.25 * size)
    before = round(_SETTLED_S * sample_rate)
    peak = float(max(samples.max(), -samples.min())) * (1.0 if gains is None else float(gains.max()))
    gain = _HEADROOM / max(peak, _HEADROOM)
    n_blocks = (samples.shape[1] - size) // step + 1
    energies = np.empty((samples.shape[0], n_blocks))
    for first in range(0, n_blocks, _AT_ONCE):
        last = min(first + _AT_ONCE, n_blocks)
        start, stop = max(first * step - before, 0), (last - 1) * step + size
        part = torch.from_numpy(samples[:, start:stop] * gain)
        if gains is not None:
            part *= torch.from_numpy(gains[start:stop])
        part = treble_biquad(part, sample_rate, 4.0, 1500.0, 1 / math.sqrt(2))
        part = highpass_biquad(part, sample_rate, 38.0, 0.5).square_()
        blocks = part[:, first * step - start :].unfold(1, size, step).mean(dim=2)
        energies[:, first:last] = blocks.numpy() / gain**2
    return energies


def rms_db(samples: Array) -> float | None:
    """Return the root mean square over all channels in dB re full scale; ``None`` for silence."""
    power = float(np.mean(samples**2))
    return float(10 * np.log10(power)) if power > 0 else None


def peak_db(samples: Array) -> float | None:
    """Return the largest sample's magnitude in dB re full scale; ``None`` for silence."""
    peak = float(np.max(np.abs(samples)))
    return float(20 * np.log10(peak)) if peak > 0 else None


def true_peaks(samples: Array, *, loop: bool = False) -> Array:
    """Return the largest magnitude near each sample: of itself and of what lies between it and its neighbors.

    Four times oversampled by ``scipy.signal.resample_poly``, block by block.

    Args:
        samples: Shape ``[channels, length]``.
        loop: Whether the end flows into the beginning, or there are zeros around.

    Returns:
        Of all channels together, shape ``[length]``.

    Reference:
        ITU-R BS.1770-4, annex 2.
    """
    from scipy.signal import resample_poly

    length = samples.shape[1]
    peaks = np.empty(length)
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        part = around(samples, start - _REACH, stop + _REACH, loop=loop)
        fine = np.abs(resample_poly(part, OVERSAMPLING, 1, axis=1)).max(axis=0).reshape(-1, OVERSAMPLING)
        between = fine[:, 1:].max(axis=1)
        own = np.maximum(fine[:, 0], np.abs(part).max(axis=0))
        inside = slice(_REACH, _REACH + stop - start)
        before = slice(_REACH - 1, _REACH - 1 + stop - start)
        peaks[start:stop] = np.maximum(own, between)[inside]
        np.maximum(peaks[start:stop], between[before], out=peaks[start:stop])
    return peaks


def around(x: Array, start: int, stop: int, *, loop: bool) -> Array:
    """Return columns of ``[rows, length]`` from ``start`` to ``stop``, around the circle or with zeros."""
    length = x.shape[1]
    if loop:
        return np.take(x, np.arange(start, stop), axis=1, mode="wrap")
    inside = x[:, max(start, 0) : min(stop, length)]
    return np.pad(inside, ((0, 0), (max(-start, 0), max(stop - length, 0))))
