"""Mel and constant-Q magnitudes: linear filter banks on the magnitudes of an STFT, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import get_window
from torch import Tensor

from specstyle.media.stft import StftSettings

CQT_F_MIN = 32.703
"""Lowest constant-Q band in Hz (the note C1)."""

_RELATIVE_TOLERANCE = 1e-2
"""Singular values below this fraction of the largest are left out of the way back."""


@dataclass(frozen=True, eq=False)
class Filterbank:
    """Bands that are weighted sums of bins, and bins estimated from bands.

    Attributes:
        forward: float64, ``[bands, n_bins]``, no negative weights.
        backward: float64, ``[n_bins, bands]``, the pseudo-inverse without its weakest directions, so that
            small changes of a band never become large ones of a bin.
        centers: Center of each band in Hz, ``[bands]``.
    """

    forward: Tensor
    backward: Tensor
    centers: NDArray[np.float64]

    def bands(self, magnitude: Tensor) -> Tensor:
        """Turn magnitudes ``[..., n_bins, frames]`` into ``[..., bands, frames]``."""
        return _there(self, "forward", magnitude.dtype, magnitude.device) @ magnitude

    def bins(self, bands: Tensor) -> Tensor:
        """Turn ``[..., bands, frames]`` into magnitudes ``[..., n_bins, frames]``, none negative.

        The least-squares solution of least energy; what is finer than the bands is lost.
        """
        return (_there(self, "backward", bands.dtype, bands.device) @ bands).clamp_min(0.0)


@lru_cache(maxsize=16)
def _there(bank: Filterbank, way: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a bank's weights on a device, brought there once: a copy would wait for it in every step."""
    with torch.inference_mode(False):  # a gradient needs them, whoever asked for them first
        weights: Tensor = getattr(bank, way)
        return weights.to(device=device, dtype=dtype)


@lru_cache(maxsize=8)
def mel_filterbank(stft: StftSettings, sample_rate: int, n_mels: int) -> Filterbank:
    """Make triangles that are evenly spaced on the mel scale from 0 Hz to half the sample rate.

    ``mel = 2595 log10(1 + f / 700)``. At low frequencies the triangles of many bands would be narrower than a
    bin and miss them all; here each reaches at least one bin to either side.

    Args:
        stft: The transform.
        sample_rate: In Hz.
        n_mels: Number of bands.

    Raises:
        ValueError: If there are more bands than bins.

    Reference:
        O'Shaughnessy 1987, *Speech communication: human and machine*, for the scale; ``htk=True,
        norm=None`` in librosa.
    """
    _check_count("n_mels", n_mels, stft)
    top = 2595.0 * np.log10(1.0 + sample_rate / 2 / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, n_mels + 2) / 2595.0) - 1.0)
    spacing = sample_rate / stft.n_fft
    centers = edges[1:-1]
    below = np.maximum(np.diff(edges)[:-1], spacing)[:, None]
    above = np.maximum(np.diff(edges)[1:], spacing)[:, None]
    offset = np.arange(stft.n_bins) * spacing - centers[:, None]
    triangles = np.maximum(np.minimum(1.0 + offset / below, 1.0 - offset / above), 0.0)
    return _with_way_back(triangles, centers)


@lru_cache(maxsize=8)
def constant_q_filterbank(stft: StftSettings, sample_rate: int, bins_per_octave: int) -> Filterbank:
    """Make bands of equal width in octaves, from C1 up to where a band would pass half the sample rate.

    Each band is the magnitude of the spectrum of a windowed tone, as in Brown & Puckette's fast algorithm,
    applied to magnitudes as librosa's ``pseudo_cqt`` does: the STFT's phase does not count. A tone is
    ``Q / f`` seconds long, but no longer than the STFT's window, so that low bands are as wide as a bin.

    Args:
        stft: The transform; its window is also the tones'.
        sample_rate: In Hz.
        bins_per_octave: Bands per octave.

    Raises:
        ValueError: If there are more bands than bins.

    Reference:
        Brown & Puckette 1992, "An efficient algorithm for the calculation of a constant Q transform",
        equations 2 to 5.
    """
    quality = 1.0 / (2.0 ** (1.0 / bins_per_octave) - 1.0)
    highest = sample_rate / 2 / (1.0 + 1.0 / quality)
    count = int(np.floor(bins_per_octave * np.log2(highest / CQT_F_MIN))) + 1
    _check_count("the number of bands from bins_per_octave", count, stft)
    centers = CQT_F_MIN * 2.0 ** (np.arange(count) / bins_per_octave)
    lengths = np.minimum(quality * sample_rate / centers, stft.win_length)
    bands = np.stack([_tone(f, n, stft, sample_rate) for f, n in zip(centers, lengths, strict=True)])
    return _with_way_back(bands, centers)


def _tone(frequency: float, length: float, stft: StftSettings, sample_rate: int) -> NDArray[np.float64]:
    """Return the magnitude spectrum ``[n_bins]`` of a windowed tone, its largest value 1."""
    n = max(int(np.ceil(length)), 2)
    time = (np.arange(n) - n / 2) / sample_rate
    tone = get_window("hann", n) * np.exp(2j * np.pi * frequency * time)
    spectrum: NDArray[np.float64] = np.abs(np.fft.fft(tone, stft.n_fft)[: stft.n_bins])
    # Far from its peak a window's spectrum is next to nothing, but it would couple all bands with all bins.
    spectrum[spectrum < 0.01 * spectrum.max()] = 0.0
    spectrum /= spectrum.max()
    return spectrum


def _check_count(name: str, count: int, stft: StftSettings) -> None:
    if not 1 <= count <= stft.n_bins:
        raise ValueError(
            f"{name} is {count}; it must be from 1 to the number of bins, {stft.n_bins}; "
            "choose fewer bands or a larger n_fft"
        )


def _with_way_back(bands: NDArray[np.float64], centers: NDArray[np.float64]) -> Filterbank:
    forward = torch.from_numpy(bands)
    return Filterbank(forward, torch.linalg.pinv(forward, rtol=_RELATIVE_TOLERANCE), centers)
