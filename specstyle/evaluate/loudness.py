"""Loudness (ITU-R BS.1770), level and peak."""

from __future__ import annotations

import math

import numpy as np
import torch

from specstyle.evaluate.texture import Array

_BLOCK_S = 0.4
_LOWEST_RATE = 4000
"""In Hz; the shelf of K-weighting stands at 1.5 kHz."""

_MOST_CHANNELS = 5
_HEADROOM = 0.5
"""torchaudio's filters clip at full scale, and K-weighting adds 4 dB and overshoots."""


def loudness_lufs(samples: Array, sample_rate: int) -> float | None:
    """Return the integrated loudness in LUFS, by torchaudio.

    Sounds with peaks above half of full scale are measured lower and the difference is added again, since
    torchaudio's filters clip: without that, a full-scale dog bark is 0.9 LU off. The absolute gate, which is
    at -70 LUFS, is higher by that difference then (6 dB at full scale).

    Args:
        samples: Shape ``[channels, length]``; full scale is 1. The fourth and the fifth of five channels
            are the surround channels and weigh 1.41, all others 1.
        sample_rate: In Hz.

    Returns:
        LUFS; ``None`` for sounds shorter than a block of 400 ms, below the gate, with more than 5 channels,
        or with a rate under 4 kHz.

    Reference:
        ITU-R BS.1770-4, as ``torchaudio.functional.loudness`` has it.
    """
    too_short = samples.shape[1] < round(_BLOCK_S * sample_rate)
    if too_short or sample_rate < _LOWEST_RATE or samples.shape[0] > _MOST_CHANNELS:
        return None
    from torchaudio.functional import loudness

    gain = _HEADROOM / max(float(np.abs(samples).max()), _HEADROOM)
    lufs = float(loudness(torch.from_numpy(gain * samples), sample_rate)) - 20 * math.log10(gain)
    return lufs if math.isfinite(lufs) else None


def rms_db(samples: Array) -> float | None:
    """Return the root mean square over all channels in dB re full scale; ``None`` for silence."""
    power = float(np.mean(samples**2))
    return float(10 * np.log10(power)) if power > 0 else None


def peak_db(samples: Array) -> float | None:
    """Return the largest sample's magnitude in dB re full scale; ``None`` for silence."""
    peak = float(np.max(np.abs(samples)))
    return float(20 * np.log10(peak)) if peak > 0 else None
