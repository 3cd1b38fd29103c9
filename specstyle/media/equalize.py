"""The long-term spectrum of a sound and the distribution of its bands' levels: giving them to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.media.bands import between_bands, mel_weights
from specstyle.media.sounds import Sound, resample
from specstyle.media.stft import StftSettings, auto_stft, long_stft, shaped, stft_blocks, window_tensor

_SMOOTHING_OCTAVES = 1 / 6
_FADE_S = 0.005
_FLOOR = 1e-8
"""The content's spectrum is lifted to this fraction of its largest power: no gain makes more of less."""

BANDS, QUANTILES = 24, 17
_STEEPEST = 2.5
"""Slope of the curve from levels to levels, or its inverse. With 5 a chorale by drums loses its attacks."""

_MOST_DB = 15.0
_FLOOR_DB = -80.0


def equalize(
    content: Sound,
    style: Sound | Sequence[Sound],
    *,
    blend: Sequence[float] = (),
    amount: float = 1.0,
    settings: StftSettings | None = None,
) -> Sound:
    """Give a sound the long-term spectrum of another one, level included.

    A zero-phase filter, the same at all times and for all channels: each bin of the STFT is multiplied by
    the root of P_style / P_content, where P is the power averaged over frames and channels and then over a
    sixth of an octave. Content bins more than 80 dB under the largest are raised as one at -80 dB is. The
    content's first and last 5 ms are faded, or a gain of 40 dB in the highs would turn its cut ends into loud
    clicks.

    Args:
        content: The sound that is filtered; it keeps its rate, length and channels.
        style: The sound whose spectrum it gets, or several whose powers are averaged; other rates are
            resampled.
        blend: Weight of each of several styles; none: the same for each.
        amount: From 0 (the content as it is, but for its faded ends) to 1: exponent of the filter's gains.
        settings: The transform; ``None``: see ``long_stft``.

    Returns:
        The filtered sound. Its peak may be above full scale.
    """
    settings = settings or long_stft(content.sample_rate)
    styles = [style] if isinstance(style, Sound) else list(style)
    wanted = _blended_power(styles, blend, content.sample_rate, settings)
    found = long_term_power(content, settings)
    ratio = wanted / np.maximum(found, max(_FLOOR * found.max(), np.finfo(float).tiny))
    gains = torch.from_numpy(ratio ** (0.5 * amount))[:, None]
    return replace(content, samples=shaped(_fade(content), lambda first, count: gains, settings))


def colored_noise(
    styles: Sequence[Sound], like: Sound, generator: torch.Generator, *, blend: Sequence[float] = ()
) -> Sound:
    """Return Gaussian noise with the long-term spectrum of some sounds; its end flows into its beginning.

    The Fourier transform of white noise as a whole, times the root of the sounds' power at each frequency.

    Args:
        styles: The sounds.
        like: What the noise has the rate, length and number of channels of.
        generator: Source of randomness, on the CPU.
        blend: Weight of each of several sounds; none: the same for each.
    """
    settings = long_stft(like.sample_rate)
    power = _blended_power(styles, blend, like.sample_rate, settings)
    white = torch.randn(like.samples.shape, generator=generator, dtype=torch.float64)
    spectrum = torch.fft.rfft(white)
    places = np.linspace(0.0, 1.0, spectrum.shape[1])
    gains = np.sqrt(np.interp(places, np.linspace(0.0, 1.0, settings.n_bins), power))
    # Of white noise of variance 1, a bin of the transform has as its mean power the window's energy.
    energy = window_tensor(settings, torch.float64, white.device).square().sum()
    samples = torch.fft.irfft(spectrum * torch.from_numpy(gains), n=white.shape[1]) / energy.sqrt()
    return replace(like, samples=samples)


def _blended_power(
    styles: Sequence[Sound], blend: Sequence[float], sample_rate: int, settings: StftSettings
) -> np.ndarray[Any, Any]:
    """Return the weighted mean of the sounds' long-term powers, ``[n_bins]``."""
    shares = np.asarray(blend or (1.0,) * len(styles))
    powers = [long_term_power(resample(s, sample_rate), settings) for s in styles]
    mean: np.ndarray[Any, Any] = np.tensordot(shares / shares.sum(), np.stack(powers), axes=1)
    return mean


def long_term_power(sound: Sound, settings: StftSettings) -> np.ndarray[Any, Any]:
    """Return the mean power of each STFT bin, averaged over a sixth of an octave around it.

    Returns:
        Shape ``[n_bins]``: |S|² averaged over channels and frames.
    """
    total = sound.samples.new_zeros(settings.n_bins)
    for _, spec in stft_blocks(_fade(sound), settings):
        total += (spec.real.square() + spec.imag.square()).sum(dim=(0, 2))
    channels, length = sound.samples.shape
    power = (total / (channels * settings.n_frames(length))).numpy()
    k = np.arange(power.size)
    first = np.floor(k * 2 ** (-_SMOOTHING_OCTAVES / 2)).astype(int)
    end = np.minimum(np.ceil(k * 2 ** (_SMOOTHING_OCTAVES / 2)).astype(int) + 1, power.size)
    running = np.concatenate([[0.0], np.cumsum(power)])
    smooth: np.ndarray[Any, Any] = np.maximum(running[end] - running[first], 0.0) / (end - first)
    return smooth


def _fade(sound: Sound) -> Tensor:
    """Return the samples with both ends faded: a cut is a click, and a filter that lifts highs lifts it."""
    length = sound.samples.shape[1]
    n = min(round(_FADE_S * sound.sample_rate), length // 4)
    ramp = torch.sin(torch.pi / 2 * (torch.arange(n, dtype=torch.float64) + 0.5) / max(n, 1)).square()
    samples = sound.samples.clone()
    samples[:, :n] *= ramp
    samples[:, length - n :] *= ramp.flip(0)
    return samples


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
    """Return the level of each band in each frame, in dB re the band's mean power, ``[bands, frames]``."""
    settings = auto_stft(sample_rate)
    weights = mel_weights(settings, sample_rate, min(BANDS, settings.n_bins)).double()
    power = torch.cat([weights @ spec.abs().square().sum(0) for _, spec in stft_blocks(x, settings)], 1)
    ratio = power / power.mean(1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    return 10.0 * ratio.clamp_min(10 ** (_FLOOR_DB / 10)).log10()
