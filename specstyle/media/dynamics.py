"""How the level of each band of a sound is distributed over time, and giving that to another sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.media.bands import between_bands, mel_weights
from specstyle.media.sounds import Sound, resample
from specstyle.media.stft import auto_stft, shaped, stft_blocks

BANDS, QUANTILES = 24, 17
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
    shares = torch.tensor(blend or (1.0,) * len(styles), dtype=torch.float64)
    each = torch.stack([level_quantiles(resample(style, sound.sample_rate)) for style in styles])
    return shape_levels(sound, torch.tensordot(shares / shares.sum(), each, 1), amount)


def level_quantiles(sound: Sound) -> Tensor:
    """Return the quantiles of the level of each band, in dB re its mean power over time.

    Returns:
        float64 ``[24, 17]``: from the least to the largest level; fewer bands where there are fewer bins.
    """
    return _quantiles(_levels(sound.samples, sound.sample_rate))


def shape_levels(sound: Sound, wanted: Tensor, amount: float = 1.0) -> Sound:
    """Raise and lower each band over time towards given quantiles; see ``match_dynamics``.

    Args:
        sound: The sound.
        wanted: ``level_quantiles`` of another of the same rate.
        amount: From 0 to 1: factor on the gains in dB.
    """
    levels = _levels(sound.samples, sound.sample_rate)
    found = _quantiles(levels)
    steps = found.diff(dim=1)
    steps = wanted.diff(dim=1).clamp(steps / _STEEPEST, steps * _STEEPEST)
    curves = F.pad(steps.cumsum(1), (1, 0))
    curves += (wanted - curves).mean(1, keepdim=True)
    moved = np.stack(
        [np.interp(*band) for band in zip(levels.numpy(), found.numpy(), curves.numpy(), strict=True)]
    )
    gains = (torch.from_numpy(moved) - levels).clamp_(-_MOST_DB, _MOST_DB)
    factors = 10 ** (amount * gains / 20)
    settings = auto_stft(sound.sample_rate)
    spread = between_bands(settings, sound.sample_rate, len(levels))
    samples = shaped(sound.samples, lambda first, n: spread @ factors[:, first : first + n], settings)
    return replace(sound, samples=samples)


def _quantiles(levels: Tensor) -> Tensor:
    # torch.quantile refuses 16 million values, two hours of sound.
    found = np.quantile(levels.numpy(), np.linspace(0.0, 1.0, QUANTILES), axis=1)
    return torch.from_numpy(found).T.contiguous()


def _levels(x: Tensor, sample_rate: int) -> Tensor:
    """Return the level of each band in each frame, in dB re the band's mean power, ``[bands, frames]``.

    Args:
        x: ``[channels, length]``, whose powers are added.
        sample_rate: In Hz.
    """
    settings = auto_stft(sample_rate)
    weights = mel_weights(settings, sample_rate, min(BANDS, settings.n_bins)).double()
    power = torch.cat([weights @ spec.abs().square().sum(0) for _, spec in stft_blocks(x, settings)], 1)
    ratio = power / power.mean(1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    return 10.0 * ratio.clamp_min(10 ** (_FLOOR_DB / 10)).log10()
