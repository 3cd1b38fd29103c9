"""Views of a log-magnitude image: mel and constant-Q bands, and what makes a tune: partials and attacks.

A texture is heard in some thirty bands; partials within a band are free. A style seen through bands does not
forbid them, and a content of which only partials and attacks count leaves the rest to the style.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from specstyle.engine.views import SameSize, View, plain_view
from specstyle.media.audio import AudioSettings, compress, expand
from specstyle.media.stft import StftSettings

CQT_F_MIN = 32.703
"""Lowest constant-Q band in Hz (the note C1)."""

SURROUNDINGS_HZ = 172.0
"""On either side of a bin: wider than the lobe of a partial, narrower than a formant."""

_TINY = 1e-12
"""Added to the power of a band, so that its root has a gradient in silence."""


class Bands:
    """The image that a sound would have if its bins were bands: roots of weighted sums of their power.

    Args:
        weights: ``[bands, n_bins]``, none negative.
        settings: How magnitudes were compressed.
    """

    stride, halo, whole_rows = 1, 0, True

    def __init__(self, weights: Tensor, settings: AudioSettings) -> None:
        self._weights, self._settings = weights, settings

    def __call__(self, image: Tensor) -> Tensor:
        """Turn ``[B, 1, n_bins, frames]`` into ``[B, 1, bands, frames]``."""
        if self._weights.device != image.device or self._weights.dtype != image.dtype:
            self._weights = self._weights.to(image)
        power = self._weights @ expand(image, self._settings).square()
        return compress((power + _TINY).sqrt(), self._settings)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the view of an image."""
        return len(self._weights), width


class Fine(SameSize):
    """What stands out of its surroundings, so many rows on either side: partials, squared, no noise."""

    whole_rows = True

    def __init__(self, reach: int) -> None:
        self._reach = reach

    def __call__(self, image: Tensor) -> Tensor:
        """Turn ``[B, 1, n_bins, frames]`` into the squares of how far each bin is above its surroundings."""
        width = 2 * self._reach + 1
        padded = F.pad(image, (0, 0, self._reach + 1, self._reach), mode="replicate")
        running = padded.cumsum(2)  # five times as fast as a pooling of this height
        around = (running[:, :, width:] - running[:, :, :-width]) / width
        return (image - around).relu().square()


class Flux(SameSize):
    """How much each row rises from one column to the next: attacks, and nothing of what goes on or ends.

    Reference:
        Masri 1996, "Computer modelling of sound for transformation and synthesis of musical signals"; Boeck &
        Widmer 2013 for flux in bands of log-magnitudes.
    """

    halo = 1

    def __call__(self, image: Tensor) -> Tensor:
        """Return ``[B, C, H, W]``; nothing is known of a rise to the first column, which gets 0."""
        return (image - F.pad(image[..., :-1], (1, 0, 0, 0), mode="replicate")).relu()


def sound_view(name: str, settings: AudioSettings, stft: StftSettings, sample_rate: int) -> View:
    """Return a view of a sound's image by its name.

    Args:
        name: ``mel64`` (64 mel bands), ``cqt24`` (constant-Q bands, 24 an octave), ``fine`` (``Fine``),
            ``flux`` (``Flux``), or see ``plain_view``.
        settings: How the image was made.
        stft: The transform that ran.
        sample_rate: The working rate in Hz.

    Raises:
        ValueError: If there is no such view, or it would have more bands than there are bins.
    """
    if name == "fine":
        return Fine(max(round(SURROUNDINGS_HZ * stft.n_fft / sample_rate), 1))
    if name == "flux":
        return Flux()
    match = re.fullmatch(r"(mel|cqt)(\d+)", name)
    if match is None:
        try:
            return plain_view(name)
        except ValueError as error:
            raise ValueError(f"{error}, and for sounds mel64, cqt24 and the like, fine, flux") from None
    make = mel_weights if match[1] == "mel" else constant_q_weights
    return Bands(make(stft, sample_rate, int(match[2])), settings)


@lru_cache(maxsize=8)
def mel_weights(stft: StftSettings, sample_rate: int, n_mels: int) -> Tensor:
    """Return triangles evenly spaced on the mel scale from 0 Hz to half the sample rate.

    At low frequencies a triangle of many bands may be narrower than a bin and reach none; it gets the
    nearest.

    Args:
        stft: The transform.
        sample_rate: In Hz.
        n_mels: Number of bands.

    Returns:
        ``[n_mels, n_bins]``.

    Raises:
        ValueError: If there are more bands than bins.

    Reference:
        O'Shaughnessy 1987, *Speech communication: human and machine*, for the scale; torchaudio's
        ``melscale_fbanks``.
    """
    from torchaudio.functional import melscale_fbanks

    _check_count(f"mel{n_mels}", n_mels, stft)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some reach no bin
        weights: Tensor = melscale_fbanks(
            stft.n_bins, 0.0, sample_rate / 2, n_mels, sample_rate
        ).T.contiguous()
    centers = 700.0 * (10.0 ** (np.linspace(0.0, _mel(sample_rate / 2), n_mels + 2)[1:-1] / 2595.0) - 1.0)
    for band in (weights.sum(1) == 0).nonzero()[:, 0].tolist():
        weights[band, round(centers[band] * stft.n_fft / sample_rate)] = 1.0
    return weights


def between_bands(stft: StftSettings, sample_rate: int, n_mels: int) -> Tensor:
    """Return what makes values of bins of those of mel bands, on lines between the bands' centers.

    Args:
        stft: The transform.
        sample_rate: In Hz.
        n_mels: Number of bands, those of ``mel_weights``.

    Returns:
        float64 ``[n_bins, n_mels]``; rows add up to 1, and outside the outer centers one value is for all.
    """
    apart = _mel(sample_rate / 2) / (n_mels + 1)
    places = _mel(np.linspace(0.0, sample_rate / 2, stft.n_bins)) / apart - 1.0
    distance = np.abs(np.clip(places, 0.0, n_mels - 1.0)[:, None] - np.arange(n_mels))
    return torch.from_numpy(np.maximum(1.0 - distance, 0.0))


@lru_cache(maxsize=8)
def constant_q_weights(stft: StftSettings, sample_rate: int, bins_per_octave: int) -> Tensor:
    """Return bands of equal width in octaves, from C1 up to where a band would pass half the sample rate.

    Each is the power spectrum of a windowed tone. Tones of low bands are no longer than the STFT's window.

    Args:
        stft: The transform; its window is also the tones'.
        sample_rate: In Hz.
        bins_per_octave: Bands per octave.

    Returns:
        ``[bands, n_bins]``.

    Raises:
        ValueError: If there are more bands than bins.

    Reference:
        Brown & Puckette 1992, "An efficient algorithm for the calculation of a constant Q transform"; the
        tones are those of librosa's ``wavelet``, whose ``gamma`` shortens the low ones (Schoerkhuber et al.
        2014).
    """
    from librosa.filters import wavelet

    quality = 1.0 / (2.0 ** (1.0 / bins_per_octave) - 1.0)
    highest = sample_rate / 2 / (1.0 + 1.0 / quality)
    count = int(np.floor(bins_per_octave * np.log2(highest / CQT_F_MIN))) + 1
    _check_count(f"cqt{bins_per_octave}", count, stft)
    centers = CQT_F_MIN * 2.0 ** (np.arange(count) / bins_per_octave)
    alpha = (2.0 ** (2 / bins_per_octave) - 1) / (2.0 ** (2 / bins_per_octave) + 1)
    gamma = max(sample_rate / stft.win_length - alpha * CQT_F_MIN, 0.0)
    tones, _ = wavelet(
        freqs=centers, sr=sample_rate, window=stft.window, pad_fft=False, gamma=gamma, alpha=alpha
    )
    spectra = np.abs(np.fft.fft(tones, stft.n_fft, axis=1)[:, : stft.n_bins]) ** 2
    spectra /= spectra.max(1, keepdims=True)
    # Far from its peak a window's spectrum is next to nothing, but it would couple all bands with all bins.
    spectra[spectra < 1e-4] = 0.0
    return torch.from_numpy(spectra).float()


def _mel(frequency: Any) -> Any:
    return 2595.0 * np.log10(1.0 + frequency / 700.0)


def _check_count(name: str, count: int, stft: StftSettings) -> None:
    if not 1 <= count <= stft.n_bins:
        raise ValueError(
            f"the view {name} has {count} bands; it must have from 1 to the number of bins, {stft.n_bins}; "
            "choose fewer bands or a larger n_fft"
        )
