"""Whether a transfer did more than an equalizer does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from specstyle.evaluate.report import mono
from specstyle.evaluate.texture import texture_snr, texture_statistics
from specstyle.media.equalize import equalize
from specstyle.media.sounds import Sound

SHORTEST_S, LONGEST_S = 1.0, 30.0
"""Of a sound that is measured: less says little of a texture, and more says no more."""

_STATISTICS = ("snr_mean", "snr_var", "snr_corr", "snr_mod")


def gain_over_equalizer_db(output: Sound, content: Sound, style: Sound) -> float | None:
    """Return how much nearer a result is to a style than the content through an equalizer.

    Args:
        output: The result; its first 30 seconds count, and so for the others.
        content: What it was made of.
        style: What it should sound like.

    Returns:
        The difference of the means of four texture SNRs (envelope mean and variance, correlation between
        bands, modulation) in dB. Seen by the default: 14 to 28 by rain, sea and a helicopter, 5 to 13 by
        fire, 3 to 6 by a clock, 2 to 8 by speech (half of it below 4.5), below 1 by another tune. ``None``
        if a sound is shorter than a second or silent.
    """
    rate = min(sound.sample_rate for sound in (output, content, style))
    output, content, style = map(_cut, (output, content, style))
    first = [mono(sound, rate) for sound in (output, equalize(content, style), style)]
    if any(len(x) < SHORTEST_S * rate or not np.ptp(x) > 0 for x in first):
        return None
    wanted = texture_statistics(first[2], rate)
    ours, theirs = (texture_snr(texture_statistics(x, rate), wanted) for x in first[:2])
    return float(np.mean([ours[name] - theirs[name] for name in _STATISTICS]))


def _cut(sound: Sound) -> Sound:
    """Return the first seconds of a sound."""
    return replace(sound, samples=sound.samples[:, : round(LONGEST_S * sound.sample_rate)])
