"""How the level of each band of a sound is distributed over time, and giving that to another sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from specstyle.media.bands import between_bands, mel_weights
from specstyle.media.blocks import shaped, stft_blocks
from specstyle.media.sounds import Sound, resample
from specstyle.media.stft import StftSettings, auto_stft

_BANDS = 24
_QUANTILES = 17
_STEEPEST = 2.5
"""Slope of the curve from levels to levels, or its inverse. With 5 a chorale by drums loses its attacks."""

_MOST_DB = 15.0
_FLOOR_DB = -80.0


def match_dynamics(
    sound: Sound, styles: Sequence[Sound], *, blend: Sequence[float] = (), amount: float = 1.0
) -> Sound:
    """Give each band of a sound the distribution of levels that it has in a style.

    Each of 24 mel bands is raised and lowered over time, so that the quantiles of its level in dB become
    those of the style: hiss between the strokes of a sparse style goes down, and what stands out of it up.
    What was louder than something else stays so. A difference of levels becomes at most two and a half times
    as large or as small, and no gain is beyond 15 dB: what hardly moves in the sound is not torn apart. All
    channels get the same gains.

    Args:
        sound: The sound; it keeps its rate, length and channels.
        styles: The sounds whose distributions are averaged, quantile by quantile; other rates are resampled.
        blend: Weight of each of several styles; none: the same for each.
        amount: From 0 (nothing is done) to 1: factor on the gains in dB.

    Returns:
        The sound; its long-term spectrum moves by what it takes.

    Reference:
        Heeger & Bergen 1995, "Pyramid-based texture analysis/synthesis", for matched histograms of bands;
        McDermott & Simoncelli 2011 for what listeners hear in the marginals of a texture's envelopes.
    """
    rate = sound.sample_rate
    settings = auto_stft(rate)
    weights = mel_weights(settings, rate, min(_BANDS, settings.n_bins)).double()
    levels = _levels(sound.samples, settings, weights)
    shares = np.asarray(blend or (1.0,) * len(styles), dtype=float)
    places = np.linspace(0.0, 1.0, _QUANTILES)
    wanted = [np.quantile(_levels(resample(s, rate).samples, settings, weights), places, 1) for s in styles]
    target = np.tensordot(shares / shares.sum(), np.stack(wanted), axes=1)
    gains = np.zeros_like(levels)
    for band, level in enumerate(levels):
        found = np.quantile(level, places)
        steps = np.diff(found)
        steps = np.clip(np.diff(target[:, band]), steps / _STEEPEST, steps * _STEEPEST)
        curve = np.concatenate([[0.0], np.cumsum(steps)])
        curve += np.mean(target[:, band] - curve)
        gains[band] = np.interp(level, found, curve) - level
    factors = 10 ** (amount * torch.from_numpy(gains).clamp_(-_MOST_DB, _MOST_DB) / 20)
    spread = between_bands(settings, rate, len(weights))
    samples = shaped(sound.samples, lambda first, n: spread @ factors[:, first : first + n], settings)
    return replace(sound, samples=samples)


def _levels(x: Tensor, settings: StftSettings, weights: Tensor) -> np.ndarray:
    """Return the level of each band in each frame, in dB re the band's mean power, ``[bands, frames]``.

    Args:
        x: ``[channels, length]``, whose powers are added.
        settings: The transform.
        weights: ``[bands, n_bins]``.
    """
    parts = [weights @ spec.abs().square().sum(0) for _, spec in stft_blocks(x, settings)]
    power = torch.cat(parts, 1)
    ratio = power / power.mean(1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    return (10.0 * ratio.clamp_min(10 ** (_FLOOR_DB / 10)).log10()).numpy()
