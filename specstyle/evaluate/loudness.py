"""Loudness (ITU-R BS.1770), level and peak."""

from __future__ import annotations

import numpy as np
from scipy import signal

from specstyle.evaluate.texture import Array

_BLOCK_S = 0.4
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0
_LOWEST_RATE = 4000
"""In Hz; the shelf stands at 1.7 kHz."""

_K_WEIGHTING = (
    (
        (1.53512485958697, -2.69169618940638, 1.19839281085285),
        (1.0, -1.69065929318241, 0.73248077421585),
    ),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
"""Numerators and denominators of the shelf and the high-pass, at 48 kHz (BS.1770-5, tables 1 and 2)."""


def loudness_lufs(samples: Array, sample_rate: int) -> float | None:
    """Return the integrated loudness in LUFS.

    K-weighting, mean squares of blocks of 400 ms (one every 100 ms) added over the channels, blocks under
    -70 LUFS left out, then those 10 LU under the mean of the rest. Every channel weighs 1 (BS.1770 gives
    1.41 to surround channels, but a sound here does not say which of its channels these are).

    Args:
        samples: Shape ``[channels, length]``; full scale is 1.
        sample_rate: In Hz.

    Returns:
        LUFS; ``None`` for sounds shorter than a block, below the gate, or with a rate under 4 kHz.

    Reference:
        ITU-R BS.1770-5, annex 1.
    """
    block, step = round(_BLOCK_S * sample_rate), round(_BLOCK_S * sample_rate / 4)
    if sample_rate < _LOWEST_RATE or samples.shape[1] < block:
        return None
    weighted = samples
    for b, a in k_weighting(sample_rate):
        weighted = signal.lfilter(b, a, weighted, axis=1)
    running = np.cumsum(np.pad(np.sum(weighted**2, axis=0), (1, 0)))
    starts = np.arange(0, samples.shape[1] - block + 1, step)
    power = np.maximum(running[starts + block] - running[starts], 0.0) / block
    power = power[power > _power(_ABSOLUTE_GATE)]
    if not power.size:
        return None
    power = power[power > power.mean() * 10 ** (_RELATIVE_GATE / 10)]
    return float(-0.691 + 10 * np.log10(power.mean()))


def k_weighting(sample_rate: float) -> list[tuple[Array, Array]]:
    """Return the two filters of K-weighting for any sample rate.

    BS.1770 has them for 48 kHz. A bilinear transform z⁻¹ = (1 - s) / (1 + s) takes them to a plane where the
    frequency f stands at tan(πf / rate); there they are stretched so that the frequency of each filter's
    poles stays what it is, and taken back.

    Args:
        sample_rate: In Hz, at least 4000.

    Returns:
        Numerator and denominator of the shelf, then of the high-pass, three coefficients each.
    """
    filters = []
    for at_48k in _K_WEIGHTING:
        analog = [_swap(np.array(coefficients)) for coefficients in at_48k]
        corner = np.sqrt(analog[1][0] / analog[1][2])
        stretch = corner / np.tan(np.arctan(corner) * 48000 / sample_rate)
        b, a = (_swap(polynomial * stretch ** np.arange(3.0)) for polynomial in analog)
        filters.append((b / a[0], a / a[0]))
    return filters


def rms_db(samples: Array) -> float | None:
    """Return the root mean square over all channels in dB re full scale; ``None`` for silence."""
    power = float(np.mean(samples**2))
    return float(10 * np.log10(power)) if power > 0 else None


def peak_db(samples: Array) -> float | None:
    """Return the largest sample's magnitude in dB re full scale; ``None`` for silence."""
    peak = float(np.max(np.abs(samples)))
    return float(20 * np.log10(peak)) if peak > 0 else None


def _power(lufs: float) -> float:
    """Return the mean square that a loudness stands for."""
    return float(10 ** ((lufs + 0.691) / 10))


def _swap(p: Array) -> Array:
    """Put (1 - s) / (1 + s) for v in p0 + p1 v + p2 v², times (1 + s)²; its own inverse up to a factor."""
    return np.array([p[0] + p[1] + p[2], 2 * (p[0] - p[2]), p[0] - p[1] + p[2]])
