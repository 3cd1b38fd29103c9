"""Spectral convergence and inconsistency: how far spectrograms are from each other and from any signal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from specstyle.evaluate.texture import LIMIT_DB, Array
from specstyle.media.stft import StftSettings, auto_stft, istft, stft


def relative_db(difference: Tensor, reference: Tensor) -> float:
    """Return 20 log10(|difference| / |reference|) (Frobenius norms), between -120 and 120 dB."""
    error, size = float(difference.norm()), float(reference.norm())
    if error == 0.0:
        return -LIMIT_DB
    return float(np.clip(20 * np.log10(error / size), -LIMIT_DB, LIMIT_DB)) if size > 0 else LIMIT_DB


def convergence_db(x: Array, content: Array, sample_rate: float) -> float:
    """Return the spectral convergence of a sound's magnitudes to the content's: how much was changed.

    ``20 log10(|| |X| - |C| || / || C ||)`` of the STFTs (46 ms, Hann, a quarter of it as hop) of both sounds
    scaled to RMS 1, over the common duration. 0 dB is as far as silence.

    Args:
        x: One channel, shape ``[length]``.
        content: One channel.
        sample_rate: Of both, in Hz.
    """
    X, C, _, _ = _pair(x, content, sample_rate)
    return relative_db(X.abs() - C.abs(), C)


def phase_inconsistency_db(x: Array, content: Array, sample_rate: float) -> float:
    """Return how inconsistent a sound's magnitudes are with the content's phase.

    The inconsistency (``inconsistency_db``) of |X| e^{i arg C}: -120 dB for the content itself, and about
    0 dB where every phase would have to be found anew. Settings and scaling as in ``convergence_db``.

    Args:
        x: One channel, shape ``[length]``.
        content: One channel.
        sample_rate: Of both, in Hz.
    """
    X, C, settings, length = _pair(x, content, sample_rate)
    return inconsistency_db(X.abs() * torch.sgn(C), settings, length)


def inconsistency_db(spec: Tensor, settings: StftSettings, length: int) -> float:
    """Return how far a complex spectrogram is from being the STFT of any signal.

    ``20 log10(|| C - STFT(iSTFT(C)) || / || C ||)``: the STFT of the least-squares inverse is the nearest
    spectrogram that a signal has.

    Args:
        spec: C, complex, shape ``[..., n_bins, n_frames(length)]``.
        settings: The transform.
        length: Samples of the signal.

    Raises:
        ValueError: If the shape does not belong to ``length``.

    Reference:
        Le Roux, Ono & Sagayama 2008, "Explicit consistency constraints for STFT spectrograms".
    """
    return relative_db(spec - stft(istft(spec, settings, length), settings), spec)


def _pair(x: Array, content: Array, sample_rate: float) -> tuple[Tensor, Tensor, StftSettings, int]:
    """Return the STFTs of both sounds at RMS 1 over their common duration, the settings and the length."""
    settings, length = auto_stft(round(sample_rate)), min(x.size, content.size)
    specs = []
    for sound in (x[:length], content[:length]):
        rms = float(np.sqrt(np.mean(sound**2)))
        specs.append(stft(torch.from_numpy(sound / rms if rms > 0 else sound.copy()), settings))
    return specs[0], specs[1], settings, length
